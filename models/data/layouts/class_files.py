"""Files that say what the classes are: classes.json, or a palette as other tools write it."""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from models.contract import SegmentationClass
from models.contract.faults import first_fault
from models.data.dataset import (
    VOID,
    ClassList,
    ClassListError,
    DatasetError,
    Issue,
    read_classes,
)
from models.data.layouts.layout import make_class_list
from models.data.masks import Palette, class_palette, hex_color

# CamVid's own, the one of its copy on Kaggle, CVAT's.
PALETTE_FILES = ("label_colors.txt", "class_dict.csv", "labelmap.txt")
VOID_NAMES = frozenset({"void", "ignore", "__ignore__", "unlabelled", "unlabeled"})

_COLOR_FIRST = re.compile(r"^(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*)$")
_NAME_FIRST = re.compile(r"^(\S.*?)\s*[,:\t]\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?::.*)?$")


@dataclass(frozen=True)
class Classes:
    """The class list and the palette of colour masks, as far as a folder's files say them."""

    class_list: ClassList
    palette: Palette | None
    issues: tuple[Issue, ...] = ()


def folder_classes(folder: Path, palette_file: Path | None = None) -> Classes:
    """The classes that a folder's files name; where none does, two stand in and an issue says so."""
    if palette_file is not None:
        return read_palette(palette_file, folder.name)
    path = folder / "classes.json"
    palettes = [folder / name for name in PALETTE_FILES if (folder / name).is_file()]
    if palettes and not path.is_file():
        return read_palette(palettes[0], folder.name)
    try:
        class_list = read_classes(path)
    except ClassListError as error:
        return unknown_classes(folder, str(error))
    return Classes(class_list, class_palette(class_list.classes))


def unknown_classes(folder: Path, text: str) -> Classes:
    """Two classes that stand in where a folder does not say its own, and the issue that says so."""
    stand_in = make_class_list(folder.name or "data", ["background", "foreground"], "not stated")
    return Classes(stand_in, None, (Issue("error", "classes", text),))


def read_palette(path: Path, name: str) -> Classes:
    """Read a palette: a line a class, its colour's three numbers before or after its name. Classes called void or
    unlabelled are ignored. Raises DatasetError."""
    if path.suffix == ".json":
        class_list = read_classes(path)
        return Classes(class_list, class_palette(class_list.classes))
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as a palette: {error}") from error
    entries = [entry for line in lines if (entry := _entry(line, path)) is not None]
    named = [
        (class_name, rgb) for class_name, rgb in entries if class_name.lower() not in VOID_NAMES
    ]
    void = [rgb for class_name, rgb in entries if class_name.lower() in VOID_NAMES]
    try:
        classes = tuple(
            SegmentationClass(id=index, name=class_name, color=hex_color(rgb))
            for index, (class_name, rgb) in enumerate(named)
        )
        class_list = ClassList(name=name or "data", classes=classes, ignore=VOID)
    except ValidationError as error:
        raise DatasetError(f"{path}: {first_fault(error).message}") from error
    ids = [(rgb, index) for index, (_, rgb) in enumerate(named)]
    return Classes(class_list, Palette.of([*ids, *((rgb, VOID) for rgb in void)]))


def _entry(line: str, path: Path) -> tuple[str, tuple[int, int, int]] | None:
    """The name and colour in a line; None for comments, headings and empty lines."""
    text = line.strip()
    if not text or text.startswith("#") or not any(character.isdigit() for character in text):
        return None
    if match := _COLOR_FIRST.match(text):
        numbers, name = match.groups()[:3], match[4]
    elif match := _NAME_FIRST.match(text):
        numbers, name = match.groups()[1:], match[1]
    else:
        return None
    red, green, blue = (int(number) for number in numbers)
    if max(red, green, blue) > 255:
        raise DatasetError(f"{path}: {text!r} is not a colour; its numbers go from 0 to 255")
    return name, (red, green, blue)
