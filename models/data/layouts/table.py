"""A CSV file with the columns image and mask, and split and group if wanted; paths from the CSV's folder."""

import csv
from pathlib import Path

from models.data.dataset import DatasetError, Sample
from models.data.layouts.class_files import folder_classes
from models.data.layouts.layout import UNSPLIT, Found, split_name
from models.data.masks import FileMask
from models.data.options import LayoutOptions


def find_table(folder: Path, options: LayoutOptions) -> Found | None:
    """Read the one CSV of the folder that has the columns image and mask. Raises DatasetError where there are several."""
    tables = [path for path in sorted(folder.glob("*.csv")) if {"image", "mask"} <= _columns(path)]
    if not tables:
        return None
    if len(tables) > 1:
        raise DatasetError(
            f"{folder} has several CSV files with the columns image and mask: "
            f"{', '.join(path.name for path in tables)}; leave one"
        )
    classes = folder_classes(folder, options.palette)
    found = Found(classes.class_list, findings=list(classes.findings))
    with tables[0].open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        for number, row in enumerate(rows, start=2):
            _add_row(found, tables[0], number, row, FileMask(Path(), classes.palette))
    if not found.samples and not found.findings:
        raise DatasetError(f"{tables[0]} has no rows; each names an image and its mask")
    return found


def _columns(path: Path) -> set[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {name.strip().lower() for name in next(csv.reader(file), [])}
    except UnicodeDecodeError:
        return set()


def _add_row(
    found: Found, table: Path, number: int, row: dict[str, str | None], model: FileMask
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
                f"{table}, line {number}: the {what} {path} is not there; mend the line",
            )
            return
    split = cells.get("split", "")
    sample = Sample(image, FileMask(mask, model.palette), cells.get("group") or None)
    found.add(split_name(split) or split or UNSPLIT, sample)
