"""What can go wrong between a study and a cluster."""


class ClusterError(Exception):
    """A profile, a submission or a question to Slurm failed; the message says what to change."""
