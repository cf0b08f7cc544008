"""Folders as Hugging Face's datasets has them: metadata.csv or metadata.jsonl that names each image
(file_name) and its mask (such as mask_file_name), and parquet files with a column of either.
Classes are those of id2label.json, else of the files that any folder may have."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.contract.faults import first_fault
from models.data.dataset import VOID, DatasetError, Sample
from models.data.files import files_below, find_file, is_file
from models.data.layouts.class_files import Classes, folder_classes, voc_classes
from models.data.layouts.json_files import load_json
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    UNSPLIT,
    ParsedLayout,
    json_object,
    split_name,
    warn_of_unlisted,
)
from models.data.layouts.parquet import Rows, unpacked
from models.data.masks import FileMask
from models.data.names import tidy
from models.data.options import LayoutOptions

IMAGE_COLUMNS = ("image", "img", "picture", "pixel_values")
MASK_COLUMNS = (
    *("annotation", "annotations", "label", "labels", "mask", "masks", "label_mask"),
    *("segmentation", "segmentation_mask", "semantic_segmentation", "semantic_mask"),
)
_TABLES = ("metadata.csv", "metadata.jsonl")
_FILE = "_file_name"
_LONGEST_LINE = 2**20
_WORD = re.compile(r"[A-Za-z]+")


def parse_hugging_face(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read the tables, or the parquet files. Raises DatasetError where their columns do not say
    which is which, and where pyarrow is missing."""
    files = list(files_below(folder))
    tables = {
        path: columns
        for path in files
        if path.name in _TABLES and (columns := _columns(path)) is not None
    }
    parquet = [path for path in files if path.suffix.lower() == ".parquet"]
    if not tables and not parquet:
        return None
    classes = _classes(folder, options)
    found = ParsedLayout(classes.class_list, issues=list(classes.issues))
    if tables:
        listed: list[Path] = []
        for path, (image, mask) in tables.items():
            listed += _read_table(path, image, mask, folder, classes, found)
        warn_of_unlisted(found, listed, listed, f"{', '.join(map(str, tables))} does not name")
    else:
        _read_parquet(folder, parquet, classes, found)
    if not found.samples and not found.issues:
        raise DatasetError(f"{next(iter(tables or parquet))} names no images")
    return found


def _classes(folder: Path, options: LayoutOptions) -> Classes:
    """Raises DatasetError where id2label.json is no list of classes."""
    path = folder / "id2label.json"
    if not is_file(path) or options.palette is not None or (folder / "classes.json").is_file():
        return folder_classes(folder, options)
    document = load_json(path)
    try:
        names = {int(key): str(value) for key, value in json_object(document).items()}
    except ENTRY_FAULTS as error:
        raise DatasetError(f"{path} does not give each id its label: {error}") from error
    if sorted(names) != list(range(len(names))) or not 2 <= len(names) <= VOID:
        raise DatasetError(
            f"{path} has {len(names)} ids; they are 0, 1, 2 … without a gap, 2 to 255 of them"
        )
    ordered = [tidy(names[number]) for number in range(len(names))]
    try:
        return voc_classes(ordered, folder.name or "data", "Hugging Face", options)
    except ValidationError as error:
        raise DatasetError(f"{path}: {first_fault(error).message}") from error


def _columns(path: Path) -> tuple[str, str] | None:
    """The columns of images and of masks; None where it has none of masks. Raises DatasetError
    where it has several."""
    row = next((row for _, row in _lines(path)), {})
    named = [key for key in row if key.lower().removesuffix(_FILE) in MASK_COLUMNS]
    masks = [key for key in named if key.lower().endswith(_FILE)]
    images = [
        key for key in row if key.lower() in ("file_name", *(n + _FILE for n in IMAGE_COLUMNS))
    ]
    if not masks or not images:
        return None
    if len(masks) > 1 or len(images) > 1:
        raise DatasetError(
            f"{path} has the columns {', '.join([*images, *masks])}; leave one of images and one "
            "of masks"
        )
    return images[0], masks[0]


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows with the numbers of their lines. Raises DatasetError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                yield from enumerate(csv.DictReader(file), start=2)
                return
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), start=1):
                if line.strip():
                    yield number, json_object(json.loads(line))
    except (UnicodeDecodeError, csv.Error, RecursionError, *ENTRY_FAULTS) as error:
        raise DatasetError(f"{path} cannot be read as a table: {error}") from error


def _read_table(
    path: Path, image: str, mask: str, folder: Path, classes: Classes, found: ParsedLayout
) -> list[Path]:
    """Add the rows; gives the images that are there."""
    images = []
    for number, row in _lines(path):
        files = {}
        for column in (image, mask):
            name = str(row.get(column) or "")
            files[column] = find_file(name, [path.parent]) if name else None
            if files[column] is None:
                found.error(
                    "no file", f"{path}, line {number}: {column} is {name!r}, which is not there"
                )
        picture, drawn = files[image], files[mask]
        if picture is not None:
            images.append(picture)
        if picture is not None and drawn is not None:
            split = _split(picture.relative_to(folder).parts[:-1])
            found.add(split, Sample(picture, FileMask(drawn, classes.encoding)))
    return images


def _read_parquet(folder: Path, files: list[Path], classes: Classes, found: ParsedLayout) -> None:
    """Add the rows of all files. Raises DatasetError where they are of several configurations."""
    folders = sorted({path.parent for path in files})
    if len(folders) > 1:
        raise DatasetError(
            f"{folder} has parquet files in {len(folders)} folders, "
            f"{', '.join(map(str, folders[:4]))}, which may be several configurations of one data "
            "set; give the folder of one, with classes.json in it"
        )
    for path in files:
        split = _split(path.relative_to(folder).parts)
        for image, mask in unpacked(Rows(path, IMAGE_COLUMNS, MASK_COLUMNS), found):
            found.add(split, Sample(image, FileMask(mask, classes.encoding)))


def _split(parts: tuple[str, ...]) -> str:
    """The split that a folder or the first word of a file's name says."""
    words = [word for part in parts for word in (part, *_WORD.findall(part)[:1])]
    return next((split for word in words if (split := split_name(word))), UNSPLIT)
