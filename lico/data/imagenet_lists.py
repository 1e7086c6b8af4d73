"""Class lists and the validation mapping of ImageNet and ImageNet-S, from their own files."""

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

CLASSES_50 = Path(__file__).with_name("imagenet_s50_classes.csv")
NAME_FILES = ("LOC_synset_mapping.txt", "imagenet_class_index.json", "words.txt")
WNID = re.compile(r"n\d{8}")
MAPPED = re.compile(r"(n\d{8})/([\w-]+\.JPEG)\s+(n\d{8})/([\w-]+\.JPEG)")

# Classes of ImageNet that ImageNet-S with 919 classes merges into another (its README).
MERGED_919 = {
    "n04356056": "n04355933",
    "n04493381": "n02808440",
    "n03642806": "n03832673",
    "n04008634": "n03773504",
    "n03887697": "n15075141",
}


class ListError(ValueError):
    """A class list or mapping file is missing or says what it may not."""


class Relabelled(NamedTuple):
    """A validation image: ImageNet's class, ImageNet-S's class, and its file name."""

    original: str
    target: str
    file: str


def find_list(name: str, folders: Iterable[Path]) -> Path | None:
    """A list file of ImageNet-S, where its authors' repository or a user would have put it."""
    for folder in folders:
        for below in ("", "data/categories", "data/mapping", "categories", "mapping", "data"):
            path = folder / below / name
            if path.is_file():
                return path
    return None


def read_categories(path: Path) -> list[str]:
    """The wnids of a category file in order of the class ids, which is sorted.

    Raises:
        ListError: if a line is no wnid, or one comes twice.
    """
    wnids = path.read_text(encoding="utf-8").split()
    for wnid in wnids:
        if not WNID.fullmatch(wnid):
            raise ListError(f"{path} has {wnid!r} where a wnid such as n01443537 belongs")
    if len(set(wnids)) != len(wnids) or not wnids:
        raise ListError(f"{path} has {len(wnids)} wnids, {len(set(wnids))} of them distinct")
    return sorted(wnids)


def read_mapping(path: Path) -> list[Relabelled]:
    """The validation images of ImageNet-S with their class there and in ImageNet.

    Raises:
        ListError: if a line is not `wnid/file wnid/file` with the same file.

    Source: ImageNet-S, ImageNetS_im50_mapping_validation.txt and its like.
    """
    found: list[Relabelled] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        match = MAPPED.fullmatch(line.strip())
        if match is None or match[2] != match[4]:
            raise ListError(
                f"{path}, line {number}: {line.strip()!r} is not of the form "
                "wnid/FILE.JPEG wnid/FILE.JPEG"
            )
        found.append(Relabelled(match[1], match[3], match[2]))
    if len({each.file for each in found}) != len(found):
        raise ListError(f"{path} has an image more than once")
    return found


def classes_of_50() -> dict[str, str]:
    """wnid → name of ImageNet-S with 50 classes."""
    with CLASSES_50.open(encoding="utf-8") as file:
        return {row["wnid"]: row["name"] for row in csv.DictReader(file)}


def read_names(path: Path) -> dict[str, str]:
    """Class id → readable name, the first of several synonyms unless two classes share it.

    Takes `LOC_synset_mapping.txt` ("wnid name, name"), `words.txt` (with a tab),
    `imagenet_class_index.json`, or a CSV with columns id and name.

    Raises:
        ListError: if it is none of these.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            rows = [(str(row[0]), str(row[1])) for row in json.loads(text).values()]
        elif path.suffix == ".csv":
            rows = [(row[0], row[1]) for row in csv.reader(text.splitlines()) if row]
        else:
            rows = [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]
        synonyms = {key.strip(): names.replace("_", " ").strip() for key, names in rows}
    except (OSError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise ListError(f"{path} is no list of class names ({error}); see docs/data.md") from error
    first = {key: names.split(",")[0].strip() for key, names in synonyms.items()}
    shared = {name for name in first.values() if list(first.values()).count(name) > 1}
    return {key: synonyms[key] if first[key] in shared else first[key] for key in first}


def read_solution(path: Path) -> dict[str, str]:
    """Stem of a validation image → wnid, from Kaggle's LOC_val_solution.csv.

    Raises:
        ListError: if it is something else.
    """
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    except (KeyError, IndexError, AttributeError) as error:
        raise ListError(f"{path} is no LOC_val_solution.csv ({error})") from error
