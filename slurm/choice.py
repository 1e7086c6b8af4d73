"""Which profile fits the cluster that this machine belongs to."""

from slurm import scheduler
from slurm.errors import ClusterError
from slurm.profile import load_profile

CANDIDATES = ("a100", "rtx4090")


def choose_profile() -> str:
    """The first profile whose GPUs this cluster has.

    Raises:
        ClusterError: if there is no Slurm here, or it has none of them.
    """
    scheduler.require_slurm()
    known = scheduler.gres()
    for name in CANDIDATES:
        if load_profile(name, []).gres in known:
            return name
    raise ClusterError(
        f"this cluster has {', '.join(sorted(known)) or 'no typed GPUs'}, and no profile of "
        f"{', '.join(CANDIDATES)} fits; write your own (docs/cluster.md) and give CLUSTER=its.yaml"
    )
