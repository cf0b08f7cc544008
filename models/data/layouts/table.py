"""A CSV file with the columns image and mask, and split and group if wanted; paths from the CSV's
folder.

Its columns are separated by commas, semicolons (as spreadsheets write where the comma is the
decimal mark) or tabs.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from models.data.dataset import DatasetError, Sample
from models.data.files import find_file, is_hidden
from models.data.layouts.class_files import folder_classes
from models.data.layouts.layout import UNSPLIT, ParsedLayout, split_name, warn_of_unlisted
from models.data.masks import FileMask, MaskEncoding
from models.data.options import LayoutOptions

_DELIMITERS = (",", ";", "\t")
_COLUMNS = ("image", "mask", "split", "group")
_LONGEST_HEADER = 2**16  # characters
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class _Row:
    """A line of the table: where its files are, and what it says of them."""

    number: int
    image: Path
    mask: Path
    split: str
    group: str | None


def parse_table(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read the one CSV of the folder that has the columns image and mask. Raises DatasetError where
    there are several, or where it cannot be read."""
    tables = {
        path: header
        for path in sorted(folder.glob("*.csv"))
        if not is_hidden(path) and (header := _header(path)) is not None
    }
    if not tables:
        return None
    if len(tables) > 1:
        raise DatasetError(
            f"{folder} has several CSV files with the columns image and mask: "
            f"{', '.join(path.name for path in tables)}; leave one"
        )
    classes = folder_classes(folder, options)
    found = ParsedLayout(classes.class_list, issues=list(classes.issues))
    ((table, header),) = tables.items()
    files: list[Path] = []
    rows = [
        row
        for number, cells in _lines(table, header)
        if (row := _row(found, table, number, cells, files)) is not None
    ]
    _add_rows(found, table, rows, classes.encoding)
    if not found.samples and not found.issues:
        raise DatasetError(f"{table} has no rows; each names an image and its mask")
    warn_of_unlisted(found, [row.image for row in rows], files, f"{table} does not list")
    return found


@dataclass(frozen=True)
class _Header:
    """What separates the columns, and the line that names them."""

    delimiter: str
    line: int


def _header(path: Path) -> _Header | None:
    """Where a file names the columns image and mask; None where it has no such columns. Raises
    DatasetError where it has one of them twice."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    encoding = "utf-16" if start.startswith(_UTF_16) else "utf-8-sig"
    lines = start.decode(encoding, errors="replace").splitlines()[:2]
    if lines and not lines[0].lower().startswith("sep="):  # a spreadsheet's own line
        lines = lines[:1]
    for number, line in enumerate(lines, start=1):
        for delimiter in _DELIMITERS:
            columns = [
                name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])
            ]
            if {"image", "mask"} <= {*columns}:
                twice = [name for name in _COLUMNS if columns.count(name) > 1]
                if twice:
                    raise DatasetError(f"{path} has the column {twice[0]} twice; leave one of them")
                return _Header(delimiter, number)
    return None


def _lines(path: Path, header: _Header) -> Iterator[tuple[int, dict[str, str]]]:
    """The cells of each line by their column, and its number. Raises DatasetError where the file is
    not UTF-8 or no CSV."""
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        text = io.StringIO(content.decode(encoding), newline="")
        for _ in range(header.line - 1):
            text.readline()
        rows = csv.DictReader(text, delimiter=header.delimiter)
        for row in rows:
            cells = {name.strip().lower(): cell for name, cell in row.items() if name and cell}
            yield rows.line_num + header.line - 1, cells
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}, line {line}: it is not UTF-8 ({error}); save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise DatasetError(
            f"{path} is not a CSV ({error}); look for a quote that is not closed"
        ) from error


def _row(
    found: ParsedLayout, table: Path, number: int, cells: dict[str, str], files: list[Path]
) -> _Row | None:
    """The line's image and mask, which are added to `files`; None where one is not there, and an
    error that says so."""
    paths = {}
    for what in ("image", "mask"):
        name = cells.get(what, "").strip()
        path = find_file(name, [table.parent])
        if path is None:
            found.error(
                f"no {what}",
                f"{table}, line {number}: the {what} {table.parent / name} is not there; fix the "
                "line",
            )
            return None
        paths[what] = path
        files.append(path)
    split = cells.get("split", "").strip()
    return _Row(
        number,
        paths["image"],
        paths["mask"],
        split_name(split) or split or UNSPLIT,
        cells.get("group", "").strip() or None,
    )


def _warn_of_shared(found: ParsedLayout, table: Path, rows: list[_Row]) -> None:
    """Tell of masks that several images have."""
    images: dict[Path, dict[Path, None]] = {}
    for row in rows:
        images.setdefault(row.mask.resolve(), {})[row.image.resolve()] = None
    for mask, of in images.items():
        if len(of) > 1:
            text = (
                f"{table} gives {mask} to {len(of)} images, such as "
                f"{' and '.join(path.name for path in list(of)[:2])}; right only where all of them "
                "show the same"
            )
            found.warning("shared mask", text)


def _add_rows(found: ParsedLayout, table: Path, rows: list[_Row], encoding: MaskEncoding) -> None:
    """A sample for each image of a split: several masks of it are merged."""
    _warn_of_shared(found, table, rows)
    by_image: dict[tuple[str, Path], list[_Row]] = {}
    for row in rows:
        by_image.setdefault((row.split, row.image.resolve()), []).append(row)
    for same in by_image.values():
        first, *others = same
        masks = list(dict.fromkeys(row.mask for row in same))
        if len({row.group for row in same}) > 1:
            numbers = ", ".join(str(row.number) for row in same)
            found.error(
                "two groups",
                f"{table}: the lines {numbers} give {first.image} to several groups; give it one",
            )
        elif len(masks) < len(same):
            numbers = ", ".join(str(row.number) for row in others)
            found.warning(
                "row twice",
                f"{table}: {first.image} and its mask stand in line {first.number} and again in "
                f"{numbers}; read once",
            )
        mask = FileMask(masks[0], encoding)
        found.add(
            first.split, Sample(first.image, replace(mask, parts=tuple(masks[1:])), first.group)
        )
