"""A caption for every image, from a file or from the data set itself."""

import csv
from pathlib import Path

from lico.config import Prompt
from lico.data.sample import ImageData

COLUMNS = ["image", "caption"]
NAMED = 3  # examples in an error message


def captions_of(settings: Prompt, data: ImageData) -> list[str] | None:
    """The caption of each image, in the order of the data set; None if prompts have class names.

    Raises:
        ValueError: if the data set has no captions and no file is given, or the file does not
            have exactly one caption for each image.
    """
    if settings.text == "class_name":
        return None
    if settings.captions is not None:
        ids = [data.image_id(index) for index in range(len(data))]
        return read_captions(Path(settings.captions), ids)
    captions = [data[index].caption for index in range(len(data) and 1)]
    if None not in captions:
        captions = [data[index].caption for index in range(len(data))]
    found = [caption for caption in captions if caption]
    if len(found) < len(captions):
        raise ValueError(
            f"data set {data.name} has no captions of its own; set prompt.captions to a CSV file "
            f"with the columns {' and '.join(COLUMNS)}, or use prompt=shared"
        )
    return found


def read_captions(path: Path, image_ids: list[str]) -> list[str]:
    """The captions of a CSV file with the columns image and caption, in the order of `image_ids`.

    Raises:
        ValueError: if it cannot be read, or images are missing, unknown, named twice or without
            words; says which.
    """
    given = _rows(path)
    found: dict[str, str] = {}
    for image, caption in given:
        if image in found:
            raise ValueError(f"prompt.captions={path} names {image!r} twice; keep one caption")
        found[image] = caption.strip()
    wanted = set(image_ids)
    for problem, images in (
        ("has no caption for", [i for i in image_ids if i not in found]),
        ("names images that the training split has not:", found.keys() - wanted),
        ("has an empty caption for", [i for i, caption in found.items() if not caption]),
    ):
        if images:
            examples = ", ".join(sorted(images)[:NAMED])
            raise ValueError(
                f"prompt.captions={path} {problem} {len(images)} images: {examples}"
                f"{', …' if len(images) > NAMED else ''}; it needs one row for each of the "
                f"{len(image_ids)} training images, which are named like {image_ids[0]!r}"
            )
    return [found[image] for image in image_ids]


def _rows(path: Path) -> list[tuple[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file, strict=True)
            header, rows = table.fieldnames, list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"prompt.captions={path} cannot be read as CSV: {error}") from error
    if header is None or not set(COLUMNS) <= set(header):
        raise ValueError(
            f"prompt.captions={path} has the columns {header or 'none'}; its first line must name "
            f"{' and '.join(COLUMNS)}"
        )
    return [(row["image"] or "", row["caption"] or "") for row in rows]
