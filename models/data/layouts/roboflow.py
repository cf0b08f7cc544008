"""Roboflow's Semantic Segmentation Masks: train/, valid/ and test/, in each images beside their
masks (`NAME_mask.png`) and `_classes.csv` with the class of each value."""

import csv
import re
from pathlib import Path

from models.data.dataset import IMAGE_SUFFIXES, DatasetError, Sample
from models.data.files import is_file, is_hidden
from models.data.layouts.coded_masks import coded_classes, require_own_values, without_void
from models.data.layouts.layout import ParsedLayout, split_name
from models.data.masks import FileMask
from models.data.options import LayoutOptions

_TABLE = "_classes.csv"
_HEADER = ["pixel value", "class"]  # a table of another header is of a classification set
_MASK = "_mask.png"
_VERSION = re.compile(r"\.rf\.[0-9a-f]{32}$")


def parse_roboflow(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read the splits that have a table. Versions of one source never fall into two splits of ours.

    Raises DatasetError where tables differ.
    """
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    tables = {
        place: names
        for place in places
        if not is_hidden(place) and (names := _names(place / _TABLE)) is not None
    }
    if not tables:
        return None
    require_own_values(options, "Roboflow's export")
    (first, names), *others = tables.items()
    for place, other in others:
        if other != names:
            raise DatasetError(f"{place / _TABLE} lists other classes than {first / _TABLE}")
    kept, values = without_void(names)
    classes = coded_classes(folder.name, "Roboflow", kept, values)
    found = ParsedLayout(classes.class_list)
    for place in tables:
        for image in _images(place):
            mask = image.with_name(image.stem + _MASK)
            if not is_file(mask):
                found.error("no mask", f"{image} has no mask; expected {mask}")
                continue
            split = split_name(place.name) or ("" if place == folder else place.name)
            # Where Roboflow has split the images itself, names say nothing: two may share one.
            group = _VERSION.sub("", image.stem) if len(tables) == 1 else None
            found.add(split, Sample(image, FileMask(mask, classes.encoding), group))
    if not found.samples and not found.issues:
        raise DatasetError(f"{first} has {_TABLE} and no images beside it")
    return found


def _names(path: Path) -> dict[int, str] | None:
    """The classes by value; None where the file is no such table. Raises DatasetError where a line
    of it is none."""
    if not is_file(path):
        return None
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is not a CSV: {error}") from error
    if not rows or [cell.strip().lower() for cell in rows[0]] != _HEADER:
        return None
    names: dict[int, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        value = row[0].strip()
        if len(row) != 2 or not value.isdecimal() or int(value) > 254 or int(value) in names:
            raise DatasetError(
                f"{path}, line {number}: {', '.join(row)} is not a value from 0 to 254 and its "
                "class, each value once"
            )
        names[int(value)] = row[1].strip()
    return names


def _images(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.endswith(_MASK)
        if not is_hidden(path)
    ]
