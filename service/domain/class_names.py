"""How callers write several classes in one text: names separated by commas.

A name that holds a comma (ADE20K has "palm, palm tree"), or blanks at its ends, can be put in
double quotes; a double quote within them is written twice. Without quotes it is taken too, unless
the text can be read in two ways.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.domain.errors import InvalidOptionError

# Up to the next comma: a name in quotes, or anything.
_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?:,|$)')
_PLAIN = re.compile(r"([^,]*)(?:,|$)")
_ENOUGH = 2  # ways to read a text: one more than may be


@dataclass(frozen=True)
class _Piece:
    """What lies between two commas of the text, from `start` to `end`; `quoted` is what the quotes
    hold.
    """

    start: int
    end: int
    quoted: str | None


def parse_class_names(text: str, model: str, names: Sequence[str]) -> frozenset[str]:
    """Those of the `names` of a `model` that `text` asks for. Raises InvalidOptionError."""
    pieces = _pieces(text)
    longest = 1 + max((name.count(",") for name in names), default=0)
    # what the text can mean from each piece on
    readings: list[set[frozenset[str]]] = [set() for _ in pieces] + [{frozenset()}]
    for first in reversed(range(len(pieces))):
        for behind in range(first + 1, min(first + longest, len(pieces)) + 1):
            found = _match(text, pieces[first:behind], names)
            if found is not None and len(readings[first]) < _ENOUGH:
                readings[first] |= {rest | {found} for rest in readings[behind]}
    if not readings[0]:
        raise InvalidOptionError(f"{model} has {_unknown(text, pieces, names)}")
    if len(readings[0]) > 1:
        ways = " or ".join(sorted(write_class_names(sorted(way)) for way in readings[0]))
        raise InvalidOptionError(
            f"`classes` can be read in more than one way: {ways}. Put names with commas in double "
            "quotes."
        )
    (meant,) = readings[0]
    return meant


def write_class_names(names: Iterable[str]) -> str:
    """A text that means just these."""
    return ",".join(map(_written, names))


def _written(name: str) -> str:
    if "," in name or name != name.strip() or name.startswith('"') or not name:
        return '"' + name.replace('"', '""') + '"'
    return name


def _pieces(text: str) -> list[_Piece]:
    pieces, at = [], 0
    while True:
        quoted = _QUOTED.match(text, at)
        found = quoted or _PLAIN.match(text, at)
        assert found is not None  # the plain form matches anything
        ends_with_comma = found[0].endswith(",") and found.end() > found.end(1)
        end = found.end() - ends_with_comma
        pieces.append(_Piece(at, end, quoted[1].replace('""', '"') if quoted else None))
        at = found.end()
        if not ends_with_comma:
            return pieces


def _match(text: str, pieces: Sequence[_Piece], names: Sequence[str]) -> str | None:
    """The name that these pieces together are."""
    if len(pieces) == 1 and pieces[0].quoted is not None:
        return pieces[0].quoted if pieces[0].quoted in names else None
    if any(piece.quoted is not None for piece in pieces):
        return None
    written = text[pieces[0].start : pieces[-1].end]
    if written in names:
        return written
    return next((name for name in names if name.strip() == written.strip()), None)


def _unknown(text: str, pieces: Sequence[_Piece], names: Sequence[str]) -> str:
    unknown = next((piece for piece in pieces if _match(text, [piece], names) is None), pieces[0])
    shown = unknown.quoted if unknown.quoted is not None else text[unknown.start : unknown.end]
    hint = " A name that holds a comma goes in double quotes." if "," in "".join(names) else ""
    there_are = ", ".join(map(_written, names))
    return f"no class {shown.strip()[:80]!r}. `classes` takes names out of: {there_are}.{hint}"
