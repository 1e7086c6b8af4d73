"""A user's own data set: class folders as torchvision's ImageFolder has them, masks and boxes."""

from pathlib import Path

from lico.config import Own
from lico.data.imagenet_lists import read_names
from lico.data.masks import read_plain_mask
from lico.data.missing import DataMissingError
from lico.data.source import FileSplit, ImageFile, Problem, Source, image_files


def own_source(settings: Own, root: Path) -> Source:
    """The data set that `data.own` describes.

        <train>/<class>/*.jpg, *.png, …
        <val>/<class>/*.jpg, *.png, …
        <masks>/<class>/<name of the image>.png   0 background, 255 ignored, anything else object
        <boxes>/…/<name of the image>.xml         VOC; objects are named as the class folder

    Classes are those of the training folder, in order of their names; the validation folder is
    joined to them by name, never by its own order.

    Args:
        settings: folders are relative to `root`.
        root: `data.root`.

    Raises:
        DataMissingError: if a folder is missing or has no image.
        ValueError: if the validation folder has a class that the training folder has not.
    """
    train, val = (_folder(settings, root, key) for key in ("train", "val"))
    classes = [path.name for path in sorted(train.iterdir()) if path.is_dir()]
    if not classes:
        raise DataMissingError(settings.title, root, f'class folder in "{train}"')
    if unknown := [p.name for p in sorted(val.iterdir()) if p.is_dir() and p.name not in classes]:
        raise ValueError(
            f"data.own.val={settings.val} has the class {unknown[0]!r}, which "
            f"data.own.train={settings.train} has not"
        )
    known = read_names(root / settings.names) if settings.names else {}
    names = [known.get(each, each.replace("_", " ")) for each in classes]
    return Source(
        settings.title,
        names,
        classes,
        {
            "train": FileSplit(_files(settings, root, train, classes)),
            "val": _val(settings, root, val, classes),
        },
        mean=_three(settings.mean),
        std=_three(settings.std),
        read_mask=read_plain_mask,
        origin=f"{train}, {val}",
    )


def _folder(settings: Own, root: Path, key: str) -> Path:
    value: str | None = getattr(settings, key)
    if not value:
        raise ValueError(f"data.own.{key} is not set; name the folder (docs/data.md)")
    folder = root / value
    if not folder.is_dir():
        raise DataMissingError(settings.title, root, f'folder "{value}" (data.own.{key})')
    return folder


def _files(settings: Own, root: Path, split: Path, classes: list[str]) -> list[ImageFile]:
    files = [
        ImageFile(path, label, f"{name}/{path.name}")
        for label, name in enumerate(classes)
        if (split / name).is_dir()
        for path in image_files(split / name)
    ]
    if not files:
        raise DataMissingError(settings.title, root, f'image in a class folder of "{split}"')
    return files


def _val(settings: Own, root: Path, val: Path, classes: list[str]) -> FileSplit:
    masks = _folder(settings, root, "masks") if settings.masks else None
    boxes = _folder(settings, root, "boxes") if settings.boxes else None
    box_of = {p.stem: p for p in sorted(boxes.rglob("*.xml"))} if boxes else {}
    found: list[ImageFile] = []
    problems: list[Problem] = []
    for file in _files(settings, root, val, classes):
        mask = masks / classes[file.label] / f"{file.path.stem}.png" if masks else None
        if mask is not None and not mask.is_file():
            problems.append(Problem(str(file.path), f"has no mask {mask}"))
            continue
        box = box_of.get(file.path.stem)
        if boxes is not None and box is None:
            problems.append(Problem(f"{file.path.stem}.xml", "is not there", "no boxes"))
        found.append(ImageFile(file.path, file.label, file.name, mask, box))
    return FileSplit(found, problems)


def _three(values: list[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue
