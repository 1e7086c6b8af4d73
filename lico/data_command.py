"""What `lico data NAME` does: pack a data set from its usual form, or say what is missing."""

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lico.compose import compose_config, groups
from lico.config import Data, Text
from lico.data.imagenet import Places
from lico.data.missing import DataMissingError
from lico.data.packed.layout import PackError
from lico.data.packed.read import PackHeader, read_header, read_tables, verify_pack
from lico.data.packed.write import PackReport, write_pack
from lico.data.registry import pack_path
from lico.data.usual_forms import find_source
from lico.names import suggestion

TEXT_WEIGHTS = "clip"
LISTED = 20  # problems on the screen; the file has all
STEPS = {
    "imagenet_s": """\
Its images are ImageNet's and need an account there, so they cannot be fetched for you:
  1. download ILSVRC2012 (train, val) and the CLS-LOC validation boxes from ImageNet;
  2. get the masks, categories and mapping files of ImageNet-S (LUSSeg/ImageNet-S); either run its
     preparation script, or give what you have:
     lico data {name} --source IMAGENET --annotations IMAGENET_S --boxes XML_FOLDER
  3. put the folder ImageNetS{classes} into {root}, or name its place with --source.""",
    "imagenet1k": """\
Its images need an account at ImageNet. With folders train/<wnid> and val/<wnid> (or val/ and
LOC_val_solution.csv):  lico data imagenet1k --source FOLDER""",
    "own": """\
Describe your folders in a file configs/data/NAME.yaml (docs/data.md has a page to copy), then:
lico data NAME""",
}


@dataclass(frozen=True)
class Options:
    """What the command line says beside the name.

    Attributes:
        source, annotations, boxes, names: where the usual form lies (`Places`).
        max_side: longest side in pixels that a packed image keeps.
        threads: that look at images.
        again: pack although a whole file is there.
    """

    source: Path | None = None
    annotations: Path | None = None
    boxes: Path | None = None
    names: Path | None = None
    max_side: int | None = None
    threads: int | None = None
    again: bool = False


def data_settings(name: str, overrides: list[str], root: Path | None) -> Data:
    """The data section of the configuration for a choice of the group `data`.

    Raises:
        ValueError: if there is no such choice; names the nearest.
    """
    known = [*groups()["data"], TEXT_WEIGHTS]
    if name not in known:
        raise ValueError(f"{name} is not one of {', '.join(known)}{suggestion(name, known)}")
    placed = [] if root is None else [f"data.root='{root}'"]
    chosen = [] if name == TEXT_WEIGHTS else [f"data={name}"]
    return compose_config([*chosen, *overrides, *placed]).data


def prepare(console: Console, settings: Data, options: Options) -> None:
    """Pack the data set, unless it is packed already, and say what is in it.

    Raises:
        DataMissingError: naming what is not there, with the steps to get it.
        PackError: if the file cannot be written.
        ValueError: if a file of the data set is not what it should be.
    """
    if settings.name == "scenes":
        console.print("the scenes are embedded: drawn from a seed, nothing to fetch")
        return
    target = pack_path(settings)
    if target.exists() and not options.again:
        try:
            _describe(console, target, read_header(target))
        except PackError as error:
            console.print(f"{error}", style="yellow", markup=False)
        else:
            return
    try:
        source = find_source(settings, _places(settings, options), download=True)
    except DataMissingError as error:
        raise error.with_steps(_steps(settings)) from None
    with _progress(console) as progress:
        tasks = {s: progress.add_task(f"packing {s}", total=None) for s in source.splits}
        report = write_pack(
            source,
            target,
            max_side=options.max_side,
            threads=options.threads or len(os.sched_getaffinity(0)),
            on_progress=lambda s, done, whole: progress.update(
                tasks[s],
                completed=done,
                total=whole,  # pyright: ignore[reportArgumentType]
            ),
        )
    _print_report(console, report)


def look(console: Console, settings: Data, options: Options) -> None:
    """Say what is there and what is missing; nothing is fetched or written.

    Raises:
        DataMissingError, ValueError: as `prepare`.
    """
    target = pack_path(settings)
    if settings.name == "scenes" or (target.exists() and not options.again):
        prepare(console, settings, options)
        return
    try:
        source = find_source(settings, _places(settings, options), download=False)
    except DataMissingError as error:
        raise error.with_steps(_steps(settings)) from None
    found = f"{source.name}: {len(source.class_names)} classes from {source.origin}"
    console.print(found, markup=False)
    for split, content in source.splits.items():
        console.print(f"  {split}: {_count(len(content), content.expected)}")
    console.print(f"would be packed into {target}", markup=False)


def verify(console: Console, settings: Data) -> None:
    """Compare all of the packed file with its checksums.

    Raises:
        PackError: naming what is damaged.
    """
    target = pack_path(settings)
    with _progress(console) as progress:
        task = progress.add_task(f"reading {target.name}", total=None)
        mark = verify_pack(
            target, lambda done, whole: progress.update(task, completed=done, total=whole)
        )
    console.print(f"{target} is whole: fingerprint {mark}", markup=False)


def fetch_text_weights(console: Console) -> None:
    """Download the text encoder of the real experiments into the Hugging Face cache."""
    from lico.text.loading import weights_file  # noqa: PLC0415 (imports torch)

    console.print(f"CLIP's weights are at {weights_file(Text())}")


def _places(settings: Data, options: Options) -> Places:
    root = Path(settings.root)
    return Places(options.source or root, options.annotations, options.boxes, options.names)


def _steps(settings: Data) -> str:
    if settings.name.startswith("imagenet_s"):
        classes = settings.name.removeprefix("imagenet_s")
        return STEPS["imagenet_s"].format(name=settings.name, classes=classes, root=settings.root)
    return STEPS.get(settings.name, "")


def _describe(console: Console, path: Path, header: PackHeader) -> None:
    counts = {split: len(read_tables(path, split).labels) for split in header.splits}  # pyright: ignore[reportArgumentType]
    listed = ", ".join(f"{split} {count:,} images" for split, count in counts.items())
    console.print(f"{path} is there: {listed}, {len(header.class_names)} classes", markup=False)
    console.print(f"fingerprint {header.fingerprint}; --verify reads all of it, --again packs anew")
    _print_problems(console, header.problems)


def _print_report(console: Console, report: PackReport) -> None:
    for split, (count, expected) in report.counts.items():
        console.print(f"{split}: {_count(count, expected)}")
    _print_problems(console, [str(problem) for problem in report.problems])
    console.print(f"packed into {report.path}, fingerprint {report.fingerprint}", markup=False)


def _print_problems(console: Console, problems: list[str]) -> None:
    if not problems:
        return
    console.print(f"{len(problems)} problems:", style="yellow")
    for problem in problems[:LISTED]:
        console.print(f"  {problem}", markup=False, soft_wrap=True)
    if len(problems) > LISTED:
        console.print(f"  and {len(problems) - LISTED} more, all listed in the file")


def _count(count: int, expected: int | None) -> str:
    if expected is None:
        return f"{count:,} images"
    note = "as published" if count == expected else f"the published set has {expected:,}"
    return f"{count:,} images ({note})"


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
