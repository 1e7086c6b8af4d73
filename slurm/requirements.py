"""What tasks need of a cluster, as far as it can be seen from the login node."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lico.config import Config
from lico.preflight import check as check_needs
from slurm import scheduler
from slurm.batch_script import task_environment
from slurm.container import check as check_container
from slurm.errors import ClusterError
from slurm.profile import Profile


def check(console: Console, profile: Profile, configs: Sequence[Config], study: Path) -> None:
    """Look for data, weights, image, mounts and GPUs before anything is submitted.

    Args:
        console: for what only the compute nodes can tell.
        profile: of the cluster.
        configs: the runs, at least one.
        study: folder of their results.

    Raises:
        ClusterError, ContainerError: if something is missing, with its remedy.
        DataMissingError, TextWeightsError, ResultsError: as `lico.preflight.check`.
    """
    check_needs(list(configs))
    visible = [study]
    visible += sorted({Path(c.data.root) for c in configs if c.data.name != "scenes"})
    if any(c.method.name == "lico" and c.text.pretrained != "embedded" for c in configs):
        visible.append(Path(task_environment(profile)["HF_HOME"]))
    for remark in check_container(profile.container, visible=visible):
        console.print(f"note: {remark}", style="yellow", highlight=False)
    if profile.gres and profile.gres not in (known := scheduler.gres()):
        raise ClusterError(
            f"this cluster has no {profile.gres}; it has {', '.join(sorted(known)) or 'no gres'}. "
            "Choose another profile (CLUSTER=…), or set cluster.gres"
        )
