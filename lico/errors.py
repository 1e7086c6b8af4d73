"""What can go wrong with result files."""


class ResultsError(Exception):
    """A result file or folder cannot be written or read; the message says what to do."""
