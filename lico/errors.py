"""What can end a run from outside, and what can go wrong with result files."""


class ResultsError(Exception):
    """A result file or folder cannot be written or read; the message says what to do."""


class Interrupted(Exception):  # noqa: N818 (no error: the same command goes on)
    """A run was asked to stop and has saved what it needs to go on."""


class SupersededError(Exception):
    """Another process has taken the run over; this one wrote nothing since and ends."""
