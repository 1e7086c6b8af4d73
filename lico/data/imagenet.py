"""ImageNet-S with 50, 300 or 919 classes, and ImageNet-1k, as files on disk.

ImageNet-S in the layout that its authors' preparation script makes:

    ImageNetS50/train/<wnid>/*.JPEG
    ImageNetS50/validation/<wnid>/*.JPEG               by the class of the mapping file
    ImageNetS50/validation-segmentation/<wnid>/*.png   id = R + 256·G

or taken out of an ImageNet-1k tree, with ImageNet-S's masks, category and mapping files beside:

    train/<wnid>/*.JPEG
    val/<wnid>/*.JPEG, or val/*.JPEG

For 136 of the 752 validation images with 50 classes ImageNet-S has another class than ImageNet.
Where the mapping file is at hand, it decides; otherwise the validation folder is taken to follow
it, as the script leaves it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torchvision.models import ResNet18_Weights

from lico.data.imagenet_lists import (
    MERGED_919,
    NAME_FILES,
    ListError,
    Relabelled,
    classes_of_50,
    find_list,
    read_categories,
    read_mapping,
    read_names,
    read_solution,
)
from lico.data.masks import read_id_mask
from lico.data.missing import DataMissingError
from lico.data.source import FileSplit, ImageFile, Problem, Source, image_files

COUNTS = {
    50: (64_431, 752),
    300: (384_862, 4_097),
    919: (1_183_322, 12_419),
    1000: (1_281_167, 50_000),
}
VALIDATION_FOLDERS = ("validation", "val")
MASKS = "validation-segmentation"
BOX_FOLDERS = ("annotations", "Annotations/CLS-LOC", "Annotations", "boxes")


@dataclass(frozen=True)
class Places:
    """Where a data set's parts may lie.

    Attributes:
        images: the folder with the images, or one above it.
        annotations: ImageNet-S's masks, category and mapping files.
        boxes: CLS-LOC XML files of the validation images, in any folders below.
        names: a file with the classes' readable names.
    """

    images: Path
    annotations: Path | None = None
    boxes: Path | None = None
    names: Path | None = None

    def folders(self, classes: int) -> list[Path]:
        """Where to look for lists and masks, nearest first."""
        given = [self.annotations, self.images]
        inner = f"ImageNetS{classes}"
        return [each for f in given if f is not None for each in (f / inner, f)]


def imagenet_s(classes: int, places: Places) -> Source:
    """ImageNet-S with 50, 300 or 919 classes.

    Raises:
        DataMissingError: naming the folder or file that is not there.
        ListError: if a list file says what it may not.
    """
    name = f"imagenet_s{classes}"
    root = next(
        (f for f in (places.images / f"ImageNetS{classes}", places.images) if _has(f)), None
    )
    if root is None:
        lacks = f'folder "ImageNetS{classes}/train" with "validation" beside it'
        raise DataMissingError(name, places.images, lacks)
    wnids = _classes(classes, places, name)
    names = classes_of_50() if classes == 50 else _names(wnids, places, root)
    return Source(
        name,
        [names[wnid] for wnid in wnids],
        wnids,
        {
            "train": _train(name, root, wnids, COUNTS[classes][0], merge=classes == 919),
            "val": _validation(name, classes, root, wnids, places),
        },
        read_mask=read_id_mask,
        origin=str(root),
    )


def imagenet_1k(places: Places) -> Source:
    """ImageNet-1k, for accuracy: no masks, no boxes.

    Raises:
        DataMissingError: naming the folder or file that is not there.
    """
    name, root = "imagenet1k", places.images
    if not _has(root):
        raise DataMissingError(name, root, 'folders "train" and "val"')
    wnids = sorted(path.name for path in (root / "train").iterdir() if path.is_dir())
    names = _names(wnids, places, root)
    val = _validation_folder(root)
    solution = find_list("LOC_val_solution.csv", [root, root.parent])
    if any(path.is_dir() for path in val.iterdir()):
        files = _listed(name, root, val, wnids)
    elif solution is not None:
        label_of = {wnid: label for label, wnid in enumerate(wnids)}
        classes = read_solution(solution)
        files = [
            ImageFile(path, label_of[classes[path.stem]], path.stem) for path in image_files(val)
        ]
    else:
        raise DataMissingError(name, root, 'class folders in "val", nor a LOC_val_solution.csv')
    return Source(
        name,
        [names[wnid] for wnid in wnids],
        wnids,
        {
            "train": _train(name, root, wnids, COUNTS[1000][0], merge=False),
            "val": FileSplit(files, expected=COUNTS[1000][1]),
        },
        origin=str(root),
    )


def _has(root: Path) -> bool:
    return (root / "train").is_dir() and any((root / v).is_dir() for v in VALIDATION_FOLDERS)


def _validation_folder(root: Path) -> Path:
    return next(root / v for v in VALIDATION_FOLDERS if (root / v).is_dir())


def _classes(classes: int, places: Places, name: str) -> list[str]:
    if classes == 50:
        return list(classes_of_50())
    file = f"ImageNetS_categories_im{classes}.txt"
    path = find_list(file, places.folders(classes))
    if path is None:
        raise DataMissingError(name, places.images, f'category file "{file}" (--annotations)')
    wnids = read_categories(path)
    if len(wnids) != classes:
        raise ListError(f"{path} has {len(wnids)} classes, {name} has {classes}")
    return wnids


def _names(wnids: list[str], places: Places, root: Path) -> dict[str, str]:
    """Readable names: from a file, or torchvision's if all thousand classes are in the tree."""
    folders = [f for f in (places.annotations, places.images, root) if f is not None]
    path = places.names or next(
        (p for each in NAME_FILES if (p := find_list(each, [*folders, root.parent]))), None
    )
    if path is not None:
        names = read_names(path)
        if lacking := [wnid for wnid in wnids if wnid not in names]:
            raise ListError(f"{path} has no name for {len(lacking)} classes, such as {lacking[0]}")
        return names
    tree = sorted(each.name for each in (root / "train").iterdir() if each.is_dir())
    known: list[str] = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    if len(tree) == len(known):
        return dict(zip(tree, known, strict=True))
    raise ListError(
        f"the classes in {root} have wnids and no names; give a file of names with --names, "
        f"such as {', '.join(NAME_FILES)}"
    )


def _train(name: str, root: Path, wnids: list[str], expected: int, *, merge: bool) -> FileSplit:
    parts: dict[str, list[str]] = {wnid: [wnid] for wnid in wnids}
    for merged, into in MERGED_919.items() if merge else ():
        if (root / "train" / merged).is_dir() and into in parts and merged not in parts:
            parts[into].append(merged)
    files = [
        file
        for label, wnid in enumerate(wnids)
        for part in parts[wnid]
        for file in _class(name, root, root / "train" / part, label)
    ]
    return FileSplit(files, expected=expected)


def _class(name: str, root: Path, folder: Path, label: int) -> list[ImageFile]:
    found = image_files(folder) if folder.is_dir() else []
    if not found:
        raise DataMissingError(name, root, f'image in "{folder.relative_to(root)}"')
    return [ImageFile(path, label, f"{folder.name}/{path.stem}") for path in found]


def _validation(name: str, classes: int, root: Path, wnids: list[str], places: Places) -> FileSplit:
    folders = places.folders(classes)
    masks = next((f / MASKS for f in [*folders, root] if (f / MASKS).is_dir()), None)
    if masks is None:
        lacks = f'folder "ImageNetS{classes}/{MASKS}" (--annotations)'
        raise DataMissingError(name, places.images, lacks)
    file = f"ImageNetS_im{classes}_mapping_validation.txt"
    mapping = find_list(file, [*folders, root])
    val = _validation_folder(root)
    if mapping is None and val.name == "val" and not root.name.startswith("ImageNetS"):
        lacks = f'mapping file "{file}" (--annotations), which a whole ImageNet needs'
        raise DataMissingError(name, places.images, lacks)
    box_of = _boxes_by_stem([*folders, root], places.boxes)
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    problems: list[Problem] = []
    if mapping is None:
        images = [(each.path, each.label) for each in _listed(name, root, val, wnids)]
    else:
        images = _mapped(read_mapping(mapping), val, label_of, mapping, problems)
    found: list[ImageFile] = []
    for path, label in images:
        mask = masks / wnids[label] / f"{path.stem}.png"
        if not mask.is_file():
            problems.append(Problem(str(path), f"has no mask {mask.name}"))
            continue
        boxes = box_of(path.stem)
        if boxes is None and box_of is not _no_boxes:
            problems.append(Problem(f"{path.stem}.xml", "is not there", "no boxes"))
        found.append(ImageFile(path, label, f"{wnids[label]}/{path.stem}", mask, boxes))
    return FileSplit(found, problems, COUNTS[classes][1])


def _listed(name: str, root: Path, val: Path, wnids: list[str]) -> list[ImageFile]:
    """The images of class folders."""
    return [f for label, wnid in enumerate(wnids) for f in _class(name, root, val / wnid, label)]


def _mapped(
    mapping: list[Relabelled],
    val: Path,
    label_of: dict[str, int],
    source: Path,
    problems: list[Problem],
) -> list[tuple[Path, int]]:
    """The images of a mapping file with their labels there; what is missing is added."""
    found: list[tuple[Path, int]] = []
    for each in sorted(mapping, key=lambda e: (e.target, e.file)):
        if each.target not in label_of:
            raise ListError(f"{source} maps {each.file} to {each.target}, which is no class")
        folders = (val / each.target, val / each.original, val)
        candidates = [folder / each.file for folder in folders]
        path = next((p for p in candidates if p.is_file()), None)
        if path is None:
            problems.append(Problem(str(candidates[0]), "is in the mapping file and not there"))
        else:
            found.append((path, label_of[each.target]))
    return found


def _boxes_by_stem(folders: list[Path], given: Path | None) -> Callable[[str], Path | None]:
    places = [f / below for f in folders for below in BOX_FOLDERS] if given is None else [given]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        if given is not None:
            raise ListError(f"--boxes={given} is no folder; give that of the CLS-LOC XML files")
        return _no_boxes
    val = folder / "val"
    paths = {path.stem: path for path in sorted((val if val.is_dir() else folder).rglob("*.xml"))}
    return paths.get


def _no_boxes(_stem: str) -> Path | None:
    return None
