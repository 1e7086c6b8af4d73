"""`python -m slurm`: submit a study to a cluster, follow it, end it."""

from pathlib import Path
from typing import Annotated

import typer

from lico.cli import Experiment, Overrides, console, run_app
from slurm.errors import ClusterError

app = typer.Typer(
    name="python -m slurm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Studies on a Slurm cluster: submit, status, logs, cancel.",
)

Results = Annotated[Path, typer.Option(help="folder of all results (run.results)")]


@app.command()
def submit(
    experiment: Experiment,
    overrides: Overrides = None,
    cluster: Annotated[
        str,
        typer.Option(
            help="a profile in configs/cluster, or a YAML file; by default the first whose GPUs "
            "this cluster has"
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the scripts and stop")] = False,
) -> None:
    """Submit what is missing of an experiment as a job array, and a report job behind it.

    Overrides that begin with `cluster.` change the profile: cluster.partition=short.
    """
    from lico.study_command import run_study  # noqa: PLC0415 (each command imports what it needs)
    from slurm.choice import choose_profile  # noqa: PLC0415
    from slurm.plan import read_study  # noqa: PLC0415
    from slurm.profile import load_profile, split_overrides  # noqa: PLC0415
    from slurm.submit import submit as submit_study  # noqa: PLC0415

    of_runs, of_profile = split_overrides(overrides or [])
    name = cluster or choose_profile()
    profile = load_profile(name, of_profile)
    if profile.launcher == "local":
        run_study(console, experiment, of_runs, profile.parallel, dry_run=dry_run)
        return
    submit_study(console, read_study(experiment, of_runs, name, profile), dry_run=dry_run)


@app.command()
def tune(
    experiment: Experiment,
    overrides: Overrides = None,
    cluster: Annotated[str, typer.Option(help="a profile, as for submit")] = "",
    nodes: Annotated[int, typer.Option(min=1, help="nodes of the Ray cluster")] = 1,
    devices: Annotated[int, typer.Option(min=1, help="GPUs of each node")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the script and stop")] = False,
) -> None:
    """Submit what is missing of an experiment as one job with a Ray cluster on its nodes.

    Takes the overrides of `lico tune`, and those of the profile (`cluster.`).
    """
    from lico.tune_command import run_tune  # noqa: PLC0415
    from slurm.choice import choose_profile  # noqa: PLC0415
    from slurm.profile import load_profile, split_overrides  # noqa: PLC0415
    from slurm.tune import Allocation, submit_tune  # noqa: PLC0415

    of_runs, of_profile = split_overrides(overrides or [])
    profile = load_profile(cluster or choose_profile(), of_profile)
    if profile.launcher == "local":
        run_tune(console, experiment, of_runs, profile.parallel, dry_run=dry_run)
        return
    allocation = Allocation(nodes, devices)
    submit_tune(console, experiment, of_runs, profile, allocation, dry_run=dry_run)


@app.command()
def status(
    experiment: Experiment,
    overrides: Overrides = None,
    results: Results = Path("results"),
) -> None:
    """How each run of a submitted study is, how long the rest takes, and why some failed."""
    from slurm.status import show_status  # noqa: PLC0415

    show_status(console, experiment, overrides or [], results)


@app.command()
def logs(
    run: Annotated[str, typer.Argument(help="a run id, or a part of it")],
    results: Results = Path("results"),
    lines: Annotated[int, typer.Option(min=1, help="of each log, from its end")] = 40,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on as the log grows")] = False,
) -> None:
    """What a run's task has written."""
    from slurm.logs import show_logs  # noqa: PLC0415

    show_logs(console, run, results, lines, follow=follow)


@app.command()
def cancel(experiment: Experiment, results: Results = Path("results")) -> None:
    """Cancel all jobs of a study; its runs keep their last checkpoints."""
    from slurm.cancel import cancel_study  # noqa: PLC0415

    cancel_study(console, experiment, results)


def main() -> None:
    """Run the command line; a known error becomes a sentence."""
    run_app(app, ClusterError)
