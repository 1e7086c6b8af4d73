"""How a task ends, for the batch script around it (slurm/batch.sh knows the same numbers).

Several runs may share a task, and srun reports the highest status of theirs; so what must go on
outranks what has ended.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses that no shell, container runtime or Python gives by itself."""

    FINISHED = 0
    SUPERSEDED = 80  # another process has the run
    GIVEN_UP = 81  # failed for good
    SAVED = 85  # interrupted with a checkpoint: requeue
    FAILED = 86  # failed, and to be tried again: requeue
