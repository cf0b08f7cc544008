"""The lines of a palette or a list of names: what each says of a class, in whatever columns.

A line is a name with numbers before or behind it: its colour (three from 0 to 255, or #rrggbb), its
id, and an alpha that says nothing. Which is which is told by the heading, else by the columns
themselves; where that leaves two ways, the file is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.data.dataset import DatasetError
from models.data.names import tidy

Rgb = tuple[int, int, int]

_NUMBER = r"\d+(?:\.\d+)?"
_BEFORE = re.compile(rf"^(?:{_NUMBER}[\s,;:]+)*(?:\d+[.)]\s*(?=[^\W\d]))?")
_BEHIND = re.compile(rf"(?:[\s,;:]+{_NUMBER})*$")
_HEX = re.compile(r"#([0-9a-fA-F]{6})(?![0-9a-fA-F])")
_TUPLE = re.compile(rf"[(\[]\s*({_NUMBER}(?:[\s,]+{_NUMBER}){{2,3}})\s*[)\]]")
# CVAT's and Datumaro's lines: name:color:parts:actions, the colour left out or not.
_CVAT = re.compile(r"^(\S.*?)\s*:\s*(\d+\s*,\s*\d+\s*,\s*\d+)?\s*:[^:]*:[^:]*$")
_RGB_WORDS = frozenset({"r", "g", "b", "red", "green", "blue"})
_ID_WORDS = frozenset({"id", "ids", "index", "idx", "value", "values"})
_ALPHA_WORDS = frozenset({"a", "alpha"})
_NAME_WORDS = frozenset(
    {"name", "names", "class", "classes", "classname", "category", "label", "labels"}
)
_HEADING_WORDS = (
    _RGB_WORDS | _ID_WORDS | _ALPHA_WORDS | _NAME_WORDS | {"rgb", "color", "colour", "hex", "pixel"}
)
_TELLING_WORDS = _HEADING_WORDS - _ALPHA_WORDS - {"r", "g", "b"}
_QUOTES = ('"', "'")
_ITK_SNAP = 7  # numbers before a name: id, red, green, blue, opacity, two marks


@dataclass(frozen=True)
class ClassLine:
    """A class as its line says it."""

    name: str
    rgb: Rgb | None


@dataclass(frozen=True)
class _Parts:
    """A line taken apart: the numbers before its name, the name, the numbers behind it."""

    text: str
    before: tuple[str, ...]
    name: str
    behind: tuple[str, ...]

    def named(self, before: int, behind: int) -> str:
        """The name, where so many numbers are columns and further ones are of the name."""
        own = [*self.before[before:], self.name, *self.behind[: len(self.behind) - behind]]
        name = " ".join(part for part in own if part)
        is_quoted = len(name) > 1 and name[0] == name[-1] and name[0] in _QUOTES
        return tidy(name[1:-1] if is_quoted else name)


def class_lines(path: Path, lines: Sequence[str]) -> list[ClassLine]:
    """The classes in the order of their ids. Raises DatasetError where the lines can be meant in
    two ways."""
    texts = [line.strip() for line in lines]
    texts = [text for text in texts if text and (text[0] != "#" or _HEX.match(text))]
    if len(texts) > 1 and all(text.startswith("- ") for text in texts):  # a list of YAML's
        texts = [text[2:].strip() for text in texts]
    heading = _heading(texts[0]) if texts else None
    if heading:
        _require_red_green_blue(path, heading)
        texts = texts[1:]
    rows = [_parts(text) for text in texts]
    colored = [row for row in rows if max(len(row.before), len(row.behind)) >= 3]
    if not colored:
        return _names(path, texts, rows)
    if lost := next((row for row in rows if row not in colored), None):
        raise DatasetError(
            f"{path}: {lost.text!r} has no colour, as the other lines have; fix the line"
        )
    return _colors(path, rows, heading or [])


def is_color_table(path: Path, lines: Sequence[str]) -> bool:
    """Whether every line, but for a heading, is a class and its colour."""
    texts = [line.strip() for line in lines if line.strip()]
    rows = [_parts(text) for text in texts[1:]]
    try:
        return bool(rows) and all(
            line.rgb is not None and not line.name.isdecimal() for line in class_lines(path, texts)
        )
    except DatasetError:
        return False


def _heading(text: str) -> list[str] | None:
    """The words of a line that names columns; None for another."""
    words = [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]
    is_heading = bool(_TELLING_WORDS & {*words}) and _HEADING_WORDS.issuperset(words)
    return words if is_heading and not _CVAT.match(text) else None


def _require_red_green_blue(path: Path, heading: Sequence[str]) -> None:
    """Raise DatasetError where a heading says that the colours' numbers are in another order."""
    columns = [word[:1] for word in heading if word in _RGB_WORDS]
    if sorted(columns) == ["b", "g", "r"] and columns != ["r", "g", "b"]:
        raise DatasetError(
            f"{path} gives its colours as {', '.join(columns)}; they are read as red, green, blue: "
            "put the columns into that order"
        )


def _parts(text: str) -> _Parts:
    if match := _CVAT.match(text):
        return _Parts(text, (), match[1], tuple(re.findall(_NUMBER, match[2] or "")))
    plain = _HEX.sub(lambda match: " , ".join(map(str, bytes.fromhex(match[1]))), text)
    plain = _TUPLE.sub(r"\1", plain).strip(" \t,;:")
    before = _BEFORE.match(plain)
    start = before.end() if before else 0
    behind = _BEHIND.search(plain, start)
    end = behind.start() if behind else len(plain)
    return _Parts(
        text,
        tuple(re.findall(_NUMBER, plain[:start])),
        plain[start:end].strip(" \t,;:"),
        tuple(re.findall(_NUMBER, plain[end:])),
    )


def _names(path: Path, texts: Sequence[str], rows: Sequence[_Parts]) -> list[ClassLine]:
    """A list of names; where each has a number, that is its id."""
    if rows and all(row.before for row in rows):
        if any(len(row.before) > 1 for row in rows):
            raise DatasetError(
                f"{path}: {rows[0].text!r} has two numbers before the name; leave the id"
            )
        ids, names = [row.before[0] for row in rows], [row.named(1, 0) for row in rows]
        return [ClassLine(names[place], None) for place in _in_order(path, ids)]
    if rows and all(len(row.behind) == 1 for row in rows):
        ids, names = [row.behind[0] for row in rows], [row.named(0, 1) for row in rows]
        if len({*names}) == len(names):  # not zone 1, zone 2
            return [ClassLine(names[place], None) for place in _in_order(path, ids)]
    whole = [_Parts(text, (), _uncolored(text), ()).named(0, 0) for text in texts]
    return [ClassLine(name, None) for name in whole]


def _uncolored(text: str) -> str:
    match = _CVAT.match(text)
    return match[1] if match and not match[2] else text


def _colors(path: Path, rows: Sequence[_Parts], heading: Sequence[str]) -> list[ClassLine]:
    """Names with colours; where each has an id too, in its order."""
    is_behind = all(len(row.behind) >= 3 for row in rows)
    if not is_behind and not all(len(row.before) >= 3 for row in rows):
        raise DatasetError(
            f"{path} has its colours before some names and behind others; write all in one way"
        )
    numbers = [row.behind if is_behind else row.before for row in rows]
    count = min(map(len, numbers))
    table = [row[-count:] if is_behind else row[:count] for row in numbers]
    first, has_id = _place_of_color(path, table, heading)
    others = [row.before if is_behind else row.behind for row in rows]
    # A number on the name's other side is its id, where each has one and names differ without it.
    own = int(all(len(row) == 1 for row in others) and not has_id)
    wide = (own, count) if is_behind else (count, own)
    names = [row.named(*wide) for row in rows]
    if own and len({*names}) < len(names):
        own, wide = 0, ((0, count) if is_behind else (count, 0))
        names = [row.named(*wide) for row in rows]
    lines = [
        ClassLine(name, _rgb(path, row.text, cells[first : first + 3]))
        for name, row, cells in zip(names, rows, table, strict=True)
    ]
    if not (has_id or own):
        return lines
    ids = [cells[0] for cells in (table if has_id else others)]
    return [lines[place] for place in _in_order(path, ids)]


def _place_of_color(
    path: Path, table: Sequence[Sequence[str]], heading: Sequence[str]
) -> tuple[int, bool]:
    """Where red stands in the columns of numbers, and whether the first of these is an id."""
    count = len(table[0])
    if count == 3:
        return 0, False
    if count == _ITK_SNAP:
        return 1, True
    counts_up = sorted(cells[0].zfill(9) for cells in table) == [
        str(number).zfill(9) for number in range(len(table))
    ]
    is_alpha = len({cells[-1] for cells in table}) == 1
    if count == 4 and _ID_WORDS & {*heading} and not _ALPHA_WORDS & {*heading}:
        return 1, True
    if count == 4 and _ALPHA_WORDS & {*heading} and not _ID_WORDS & {*heading}:
        return 0, False
    if count == 4 and counts_up != is_alpha:
        return (1, True) if counts_up else (0, False)
    if count == 5 and counts_up and is_alpha:
        return 1, True
    raise DatasetError(
        f"{path} has {count} numbers a line, and which of them are red, green and blue is not "
        "sure; write name,r,g,b in the order of the ids"
    )


def _rgb(path: Path, text: str, cells: Sequence[str]) -> Rgb:
    if not all(cell.isdecimal() and int(cell) <= 255 for cell in cells):
        raise DatasetError(f"{path}: {text!r} is not a colour; its numbers go from 0 to 255")
    red, green, blue = map(int, cells)
    return red, green, blue


def _in_order(path: Path, ids: Sequence[str]) -> list[int]:
    """The places of the ids 0, 1, 2 …. Raises DatasetError where they are others."""
    if not all(cell.isdecimal() for cell in ids):
        raise DatasetError(f"{path} numbers its classes {', '.join(ids[:5])}; ids are whole")
    places = {int(cell): place for place, cell in enumerate(ids)}
    if len(places) == len(ids) and sorted(places) == list(range(len(ids))):
        return [places[number] for number in sorted(places)]
    if len(places) == len(ids) and sorted(places) == list(range(1, len(ids) + 1)):
        raise DatasetError(
            f"{path} counts its classes from 1; list what the values below that mean too, from 0 on"
        )
    raise DatasetError(
        f"{path} numbers its classes {', '.join(ids[:8])}; give each value from 0 on a line, or "
        "take the numbers out where masks are in colour or count by the order of the lines"
    )
