"""A CSV file with the columns image and mask, and split and group if wanted; paths from the CSV's folder.

Its columns are separated by commas, semicolons (as spreadsheets write where the comma is the decimal mark) or tabs.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from models.data.dataset import DatasetError, Sample
from models.data.layouts.class_files import folder_classes
from models.data.layouts.layout import UNSPLIT, ParsedLayout, split_name
from models.data.masks import FileMask
from models.data.options import LayoutOptions

_DELIMITERS = (",", ";", "\t")
_LONGEST_HEADER = 2**16  # characters


def parse_table(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read the one CSV of the folder that has the columns image and mask. Raises DatasetError where there are several, or
    where it cannot be read."""
    tables = {
        path: delimiter
        for path in sorted(folder.glob("*.csv"))
        if (delimiter := _delimiter(path)) is not None
    }
    if not tables:
        return None
    if len(tables) > 1:
        raise DatasetError(
            f"{folder} has several CSV files with the columns image and mask: "
            f"{', '.join(path.name for path in tables)}; leave one"
        )
    classes = folder_classes(folder, options.palette)
    found = ParsedLayout(classes.class_list, issues=list(classes.issues))
    ((table, delimiter),) = tables.items()
    for number, row in enumerate(_rows(table, delimiter), start=2):
        _add_row(found, table, number, row, FileMask(Path(), classes.palette))
    if not found.samples and not found.issues:
        raise DatasetError(f"{table} has no rows; each names an image and its mask")
    return found


def _delimiter(path: Path) -> str | None:
    """What separates the columns image and mask in a file's header; None where it has no such columns."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        header = file.readline(_LONGEST_HEADER)
    for delimiter in _DELIMITERS:
        columns = next(csv.reader([header], delimiter=delimiter), [])
        if {"image", "mask"} <= {name.strip().lower() for name in columns}:
            return delimiter
    return None


def _rows(path: Path, delimiter: str) -> Iterator[dict[str, str | None]]:
    """The rows by their columns. Raises DatasetError where the file is not UTF-8 or no CSV."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}, line {line}: it is not UTF-8 ({error}); save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise DatasetError(
            f"{path} is not a CSV ({error}); look for a quote that is not closed"
        ) from error


def _add_row(
    found: ParsedLayout, table: Path, number: int, row: dict[str, str | None], model: FileMask
) -> None:
    cells = {
        name.strip().lower(): text.strip()
        for name, text in row.items()
        if name and text is not None
    }
    image, mask = table.parent / cells.get("image", ""), table.parent / cells.get("mask", "")
    for what, path in (("image", image), ("mask", mask)):
        if not path.is_file():
            found.error(
                f"no {what}",
                f"{table}, line {number}: the {what} {path} is not there; fix the line",
            )
            return
    split = cells.get("split", "")
    sample = Sample(image, FileMask(mask, model.palette), cells.get("group") or None)
    found.add(split_name(split) or split or UNSPLIT, sample)
