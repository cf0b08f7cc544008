"""Files that say what the classes are: classes.json, a palette, or a list of names as other tools
write them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from models.data.files import is_file, is_hidden
from models.data.layouts.class_lines import Rgb, class_lines, is_color_table
from models.data.layouts.layout import make_class_list
from models.data.masks import (
    VOC_VOID,
    MaskEncoding,
    class_palette,
    hex_color,
    voc_color,
)
from models.data.names import counted, is_void, tidy
from models.data.options import LayoutOptions

# CamVid's own, the one of its copy on Kaggle, CVAT's.
PALETTE_FILES = ("label_colors.txt", "class_dict.csv", "labelmap.txt")
# LabelMe's converter to VOC, its own input, YOLO's tools, CamVid's at fast.ai: a name a line, in
# the order of the ids.
NAME_FILES = ("class_names.txt", "labels.txt", "classes.txt", "codes.txt")
NO_CLASSES, FAULTY_CLASSES = "classes", "faulty class list"
_LABELME_IGNORE = "__ignore__"  # LabelMe's lists begin with it; it has no id
_HEX = re.compile(r"^#([0-9a-fA-F]{6})$")
_LARGEST_TABLE = 2**16  # bytes


@dataclass(frozen=True)
class Classes:
    """The class list, and how mask files say its classes, as far as a folder's files tell."""

    class_list: ClassList
    encoding: MaskEncoding = field(default_factory=MaskEncoding)
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True)
class _Entry:
    """A class as a file lists it; the place in the list is the value in masks of ids."""

    name: str
    rgb: Rgb

    @property
    def is_void(self) -> bool:
        return is_void(self.name) or self.rgb == VOC_VOID


def folder_classes(folder: Path, options: LayoutOptions) -> Classes:
    """The classes that a folder's files name; where none does, two stand in and an issue says
    so."""
    if options.palette is not None:
        return read_palette(options.palette, folder.name, options)
    path = folder / "classes.json"
    listing = None if path.is_file() else _listing(folder)
    if listing is not None:
        return read_palette(listing, folder.name, options)
    try:
        return _of_class_list(path, options)
    except ClassListError as error:
        return unknown_classes(folder, str(error), FAULTY_CLASSES if path.exists() else NO_CLASSES)


def names_its_classes(folder: Path) -> bool:
    """Whether a folder has a file that says what its classes are."""
    return any(is_file(folder / name) for name in ("classes.json", *PALETTE_FILES, *NAME_FILES))


def unknown_classes(folder: Path, text: str, kind: str = NO_CLASSES) -> Classes:
    """Two classes that stand in where a folder does not say its own, and the issue that says so."""
    stand_in = make_class_list(folder.name or "data", ["background", "foreground"], "not stated")
    return Classes(stand_in, issues=(Issue("error", kind, text),))


def read_class_list(path: Path) -> Classes:
    """classes.json, for a layout whose masks are drawn: a class of it that is void by name is what
    is ignored.

    Raises DatasetError.
    """
    return _of_class_list(path, LayoutOptions())


def read_palette(path: Path, name: str, options: LayoutOptions) -> Classes:
    """Read a palette (a line a class, its colour's three numbers before or after its name), or a
    list of names, whose colours are PASCAL VOC's. Classes that are void by name, or have VOC's
    colour of it, are ignored. Raises DatasetError."""
    if path.suffix == ".json":
        return _of_class_list(path, options)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as a palette: {error}") from error
    entries = _entries(path, lines)
    if sum(not entry.is_void for entry in entries) < 2:
        raise DatasetError(
            f"{path} names {counted(sum(not entry.is_void for entry in entries), 'class')}; list "
            "every class in the order of the ids, background too where the masks have it"
        )
    try:
        return _coded(entries, {"name": name or "data", "ignore": VOID}, options)
    except ValidationError as error:
        raise DatasetError(f"{path}: {first_fault(error).message}") from error


def voc_classes(names: Sequence[str], name: str, source: str, options: LayoutOptions) -> Classes:
    """Classes of PASCAL VOC's own colours."""
    entries = [_Entry(text, voc_color(index)) for index, text in enumerate(names)]
    return _coded(entries, {"name": name, "source": source, "ignore": VOID}, options)


def _listing(folder: Path) -> Path | None:
    """The palette or list of names in a folder. Raises DatasetError where two name other classes,
    or in another order."""
    palettes = [folder / name for name in PALETTE_FILES if is_file(folder / name)]
    lists = [folder / name for name in NAME_FILES if is_file(folder / name)]
    found = [*palettes, *lists] or _color_tables(folder)
    options = LayoutOptions()
    for other in found[1:]:
        first, second = (
            [c.name for c in read_palette(path, folder.name, options).class_list.classes]
            for path in (found[0], other)
        )
        if first != second:
            different = sorted({*first} ^ {*second})[:5]
            how = (
                f"other classes ({', '.join(different)})"
                if different
                else "the classes in two orders"
            )
            raise DatasetError(f"{found[0]} and {other.name} list {how}; leave one of them")
    return found[0] if found else None


def _color_tables(folder: Path) -> list[Path]:
    """Text files of any name whose every line, but for a heading, is a class and its colour."""
    tables = []
    for path in sorted(folder.iterdir()):
        is_text = path.suffix.lower() in (".csv", ".txt") and is_file(path) and not is_hidden(path)
        if not is_text or path.stat().st_size > _LARGEST_TABLE:
            continue
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            continue
        if is_color_table(path, lines):
            tables.append(path)
    return tables


def _titled(path: Path) -> list[_Entry]:
    """The classes of a classes.json with titles and colours, as Supervisely writes it; none where
    it is ours or faulty. Raises DatasetError where one of them has no such colour."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    classes = document.get("classes") if isinstance(document, dict) else None
    if not isinstance(classes, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("title"), str) for entry in classes
    ):
        return []
    entries = []
    for entry in classes:
        match = _HEX.match(str(entry.get("color")))
        if match is None:
            raise DatasetError(
                f"{path}: the colour of {entry['title']!r} is not #rrggbb; write it so"
            )
        entries.append(_Entry(tidy(entry["title"]), _rgb(match[1])))
    return entries


def _rgb(digits: str) -> Rgb:
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _of_class_list(path: Path, options: LayoutOptions) -> Classes:
    """classes.json, less what is void in it. Raises ClassListError and DatasetError."""
    if titled := _titled(path):
        try:
            return _coded(titled, {"name": path.parent.name or "data", "ignore": VOID}, options)
        except ValidationError as error:
            raise ClassListError(f"{path}: {first_fault(error).message}") from error
    class_list = read_classes(path, VOID if options.ignore is not None else None)
    entries = [_Entry(c.name, c.rgb) for c in class_list.classes]
    try:
        classes = _coded(entries, class_list.model_dump(exclude={"classes"}), options)
    except ValidationError as error:
        raise ClassListError(f"{path}: {first_fault(error).message}") from error
    issues = [
        Issue(
            "warning",
            "void class",
            f"{path} lists the class {entry.name!r}, which is void by its name or colour: its "
            "pixels are ignored and it is no class of the model; name it otherwise where it is to "
            "be learned",
        )
        for entry in entries
        if entry.is_void
    ]
    return Classes(classes.class_list, classes.encoding, tuple(issues))


def _coded(entries: Sequence[_Entry], facts: Mapping[str, Any], options: LayoutOptions) -> Classes:
    """The class list of the entries that are not void, with the `facts` that it says beside them,
    and the encoding of masks whose values are the entries' places, as `options` shift them. Raises
    ValidationError and DatasetError."""
    named = [entry for entry in entries if not entry.is_void]
    is_plain = len(named) == len(entries) and options.ignore is None and not options.shift
    ignore: int | None = facts["ignore"] if is_plain else VOID
    classes = tuple(
        SegmentationClass(id=index, name=entry.name, color=hex_color(entry.rgb))
        for index, entry in enumerate(named)
    )
    class_list = ClassList(**{**facts, "classes": classes, "ignore": ignore})
    void = {entry.rgb: VOID for entry in entries if entry.is_void}
    if ignore is not None:
        void = {VOC_VOID: ignore} | void
    ids = {*range(len(named)), *([] if ignore is None else [ignore])}
    encoding = MaskEncoding(
        class_palette(class_list.classes, void),
        frozenset(ids),
        class_list.background,
        None if is_plain else _value_ids(entries, facts["ignore"], options),
    )
    return Classes(class_list, encoding)


def _value_ids(
    entries: Sequence[_Entry], own_ignore: int | None, options: LayoutOptions
) -> tuple[int | None, ...]:
    """The id of each value 0–255 of a mask. Raises DatasetError where `options` make no sense of
    these classes."""
    if options.shift and options.ignore is None and own_ignore not in (None, VOID):
        raise DatasetError(
            f"classes.json ignores {own_ignore}, and whether that is before the shift of "
            f"{options.shift} or after it is not said; say --ignore too (layout.ignore)"
        )
    ids: list[int] = []
    for entry in entries:
        ids.append(VOID if entry.is_void else sum(i != VOID for i in ids))
    ignored = {VOID, own_ignore, options.ignore}
    if options.ignore is not None and 0 <= options.ignore + options.shift < len(entries):
        entry = entries[options.ignore + options.shift]
        if not entry.is_void:
            raise DatasetError(
                f"the value {options.ignore} is to be ignored and is the class {entry.name!r}; say "
                "--shift -1 (layout.shift) where classes are counted from 1 in the masks, or take "
                "the class out"
            )
    by_value = [
        VOID
        if value in ignored
        else ids[value + options.shift]
        if 0 <= value + options.shift < len(ids)
        else None
        for value in range(256)
    ]
    return tuple(by_value)


def _entries(path: Path, lines: Sequence[str]) -> list[_Entry]:
    """The classes that a palette or a list of names has; those without a colour get PASCAL VOC's.
    Raises DatasetError."""
    found = class_lines(path, lines)
    if found and found[0].name == _LABELME_IGNORE and found[0].rgb is None:
        del found[0]
    return [_Entry(line.name, line.rgb or voc_color(index)) for index, line in enumerate(found)]
