"""The `lico` command: thin, so that `--help` answers at once and every error is a sentence."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from lico.writable import provide_writable_places

app = typer.Typer(
    name="lico",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Does language-image consistency training make classifiers more explainable and more "
    "accurate? Train, evaluate, aggregate and report.",
)
console = Console()
INTERRUPTED = 130  # what typer makes of Ctrl-C, too
errors = Console(stderr=True, soft_wrap=True, highlight=False)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Hydra overrides, such as method=lico training.epochs=5 seed=2"),
]
Experiment = Annotated[str, typer.Argument(help="a name in configs/experiment, or a YAML file")]


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        console.print(version("lico-hpc"), highlight=False)
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="print it and stop"),
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command("run")
def run_command(overrides: Overrides = None) -> None:
    """Train and evaluate one configuration; leaves one HDF5 file."""
    from lico.compose import compose_config  # noqa: PLC0415 (each command imports what it needs)
    from lico.preflight import check  # noqa: PLC0415
    from lico.progress import RunProgress  # noqa: PLC0415

    config = compose_config(overrides or [])
    os.environ.setdefault("OMP_NUM_THREADS", str(config.run.threads))
    check([config])
    from lico.run import run  # noqa: PLC0415

    with RunProgress(console, config.run_id()) as progress:
        path = run(config, progress.update)
    console.print(f"finished: {path}")


@app.command()
def evaluate(
    weights: Annotated[
        Path, typer.Argument(help="a Lightning checkpoint, a torch state dict, or safetensors")
    ],
    overrides: Overrides = None,
    label_order: Annotated[
        str, typer.Option(help="how the file numbers classes: data, numeric_folders, marked_last")
    ] = "data",
) -> None:
    """Evaluate weights that others have trained; leaves one HDF5 file, as a run does."""
    from typing import get_args  # noqa: PLC0415

    from lico.compose import compose_config  # noqa: PLC0415
    from lico.models.published import LabelOrder  # noqa: PLC0415
    from lico.progress import RunProgress  # noqa: PLC0415
    from lico.published import evaluate_published  # noqa: PLC0415

    known = get_args(LabelOrder)
    if label_order not in known:
        raise ValueError(f"--label-order={label_order} is not one of {', '.join(known)}")
    config = compose_config(overrides or [])
    with RunProgress(console, weights.name) as progress:
        path = evaluate_published(config, weights, label_order, progress.update)  # pyright: ignore[reportArgumentType]
    console.print(f"finished: {path}")


@app.command()
def study(
    experiment: Experiment,
    overrides: Overrides = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="runs at a time; the experiment's own by default")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list the runs and stop")] = False,
    open_report: Annotated[bool, typer.Option("--open", help="open the report")] = False,
) -> None:
    """Run an experiment on this machine, then aggregate and report.

    Finished runs are skipped, broken ones are redone, interrupted ones go on.
    """
    from lico.study_command import run_study  # noqa: PLC0415

    report = run_study(console, experiment, overrides or [], jobs, dry_run=dry_run)
    if report and open_report:
        _open(report)


@app.command()
def tune(
    experiment: Experiment,
    overrides: Overrides = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="trials at a time; the experiment's own by default")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list the runs and stop")] = False,
    open_report: Annotated[bool, typer.Option("--open", help="open the report")] = False,
) -> None:
    """Run an experiment as trials of Ray Tune, then aggregate and report.

    Same runs and same files as `lico study`; with a dashboard, GPUs shared by fractions, retries,
    limits of time and energy, and for a search early stopping. Besides the runs' overrides it
    takes tune=NAME, tune.KEY=VALUE and search.KEY=VALUE (docs/tune.md).
    """
    from lico.tune_command import run_tune  # noqa: PLC0415

    report = run_tune(console, experiment, overrides or [], jobs, dry_run=dry_run)
    if report and open_report:
        _open(report)


@app.command()
def aggregate(experiment: Experiment, overrides: Overrides = None) -> None:
    """Gather the finished runs of an experiment into study.h5 and tables.

    Give the overrides that the study was run with.
    """
    from lico.study_command import aggregate_study  # noqa: PLC0415

    console.print(f"wrote {aggregate_study(experiment, overrides or [])} and tables beside it")


@app.command()
def report(
    experiment: Experiment,
    overrides: Overrides = None,
    open_report: Annotated[bool, typer.Option("--open", help="open the page")] = False,
) -> None:
    """Write study.h5, the tables and the HTML page of an experiment from its finished runs.

    Give the overrides that the study was run with.
    """
    from lico.study_command import report_study  # noqa: PLC0415

    page = report_study(experiment, overrides or [])
    console.print(f"wrote {page}")
    if open_report:
        _open(page)


@app.command()
def doctor(
    results: Annotated[Path, typer.Option(help="folder of all results")] = Path("results"),
) -> None:
    """What this machine has and lacks for each experiment, and how to get it."""
    from lico.doctor import examine  # noqa: PLC0415

    examine(console, results)


@app.command()
def data(
    name: Annotated[
        str, typer.Argument(help="a name in configs/data such as cifar100, or clip (text weights)")
    ],
    overrides: Overrides = None,
    root: Annotated[
        Path | None, typer.Option(help="folder of the packed files (data.root)")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="where the images lie; by default in the root")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="ImageNet-S's masks, category and mapping files")
    ] = None,
    boxes: Annotated[Path | None, typer.Option(help="CLS-LOC XML files")] = None,
    names: Annotated[Path | None, typer.Option(help="readable names of the classes")] = None,
    max_side: Annotated[
        int | None, typer.Option(min=32, help="make larger images as small; compresses them again")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="that look at images")] = None,
    again: Annotated[bool, typer.Option("--again", help="pack although it is packed")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="read and check all of it")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what is there, and stop")] = False,
) -> None:
    """Bring a data set from its usual form to one packed file, or say what to do by hand."""
    from lico import data_command as command  # noqa: PLC0415

    settings = command.data_settings(name, overrides or [], root)
    options = command.Options(source, annotations, boxes, names, max_side, threads, again)
    if name == command.TEXT_WEIGHTS:
        command.fetch_text_weights(console)
    elif verify:
        command.verify(console, settings)
    elif dry_run:
        command.look(console, settings, options)
    else:
        command.prepare(console, settings, options)


@app.command("pretrain-text")
def pretrain_text(
    out: Annotated[
        Path | None, typer.Option(help="weights file to write; the package's own by default")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="only evaluate the weights")] = False,
) -> None:
    """Train the embedded text encoder again on the embedded scenes."""
    from lico.text.loading import EMBEDDED  # noqa: PLC0415
    from lico.text.pretrain import run_pretraining  # noqa: PLC0415

    run_pretraining(out or EMBEDDED.with_suffix(".safetensors"), check_only=check)


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="which; all by default")] = None,
    out: Annotated[Path, typer.Option(help="where figures and charts go")] = Path("results/bench"),
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="measurements of each way")] = 5,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where")] = "auto",
    full: Annotated[bool, typer.Option("--full", help="every case, not the main ones")] = False,
    show: Annotated[bool, typer.Option("--list", help="list the benchmarks and stop")] = False,
) -> None:
    """Measure what things cost, side by side with what they are compared with."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler says when it starts
    from lico.bench_command import listing, run_benchmarks  # noqa: PLC0415
    from lico.benchmarks.figure import Setting  # noqa: PLC0415
    from lico.config import Runtime  # noqa: PLC0415
    from lico.training.processes import choose_device  # noqa: PLC0415

    if show:
        console.print(listing())
        return
    where = choose_device(Runtime(device=device))
    run_benchmarks(console, names or [], out / "bench.json", Setting(where, threads, rounds, full))


def _open(page: Path) -> None:
    """Show the page if there is a screen to show it on."""
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        console.print(f"no screen here: open {page.resolve()} in a browser")
        return
    typer.launch(str(page.resolve()))


def known_errors() -> tuple[type[Exception], ...]:
    """The errors that are the user's to mend; their messages say how."""
    from lico.compose import ConfigError  # noqa: PLC0415
    from lico.data.missing import DataMissingError  # noqa: PLC0415
    from lico.errors import ResultsError, SupersededError  # noqa: PLC0415
    from lico.study_command import StudyError  # noqa: PLC0415

    found: list[type[Exception]] = [
        ConfigError,
        DataMissingError,
        ResultsError,
        StudyError,
        SupersededError,
    ]
    for module, name in (
        ("lico.data.packed.layout", "PackError"),
        ("lico.text.loading", "TextWeightsError"),
        ("lico.training.loop", "NonFiniteLossError"),
        ("lico.launchers.tune.session", "RayError"),
    ):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


def run_app(commands: typer.Typer, *known: type[Exception]) -> None:
    """Run a command line; an error that is the user's to mend is one sentence and exit status 1.

    Args:
        commands: of the command line.
        known: such errors, besides those of this package.
    """
    try:
        provide_writable_places()
        commands()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        errors.print("interrupted; the same command goes on from here", style="yellow")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if isinstance(error, (*known_errors(), *known, ValueError)):
            errors.print(f"error: {error}", style="red", markup=False)
            sys.exit(1)
        raise


def main() -> None:
    """Run the command line."""
    run_app(app)
