"""Reports as one self-contained HTML file, good to read in light and dark.

A page is a title, a lead and sections; a section is a heading and blocks. The template (page.html)
draws each block and escapes every text in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from models.contract import SegmentationClass, atomic

Cell: TypeAlias = str | int | float


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    block: Literal["text"] = "text"


@dataclass(frozen=True)
class Command:
    """Something to type into a shell."""

    text: str
    block: Literal["command"] = "command"


@dataclass(frozen=True)
class Facts:
    """Figures to see at a glance: (value, what it is)."""

    facts: Sequence[tuple[str, str]]
    block: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Table:
    """A table; numbers are set right-aligned. `colors` puts a swatch before the first cell of each
    row, or None."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    colors: Sequence[str | None] | None = None
    block: Literal["table"] = "table"


@dataclass(frozen=True)
class Remark:
    """A sentence with its weight; `more` is a list to unfold below it."""

    severity: Literal["error", "warning", "good"]
    text: str
    more: Sequence[str] = ()
    block: Literal["remark"] = "remark"


@dataclass(frozen=True)
class Figure:
    """A picture as a data URI, with its caption; `note` is shown below it in the colour of an
    error."""

    uri: str
    caption: str
    note: str | None = None


@dataclass(frozen=True)
class Gallery:
    """Figures side by side, as many as fit; `min_width` is the least width of one, in CSS
    pixels."""

    figures: Sequence[Figure]
    min_width: int = 340
    block: Literal["gallery"] = "gallery"


@dataclass(frozen=True)
class Legend:
    """The classes with their colours."""

    classes: Sequence[SegmentationClass]
    block: Literal["legend"] = "legend"


@dataclass(frozen=True)
class Drawing:
    """Inline SVG (or other markup) that the caller has made and escaped."""

    markup: Markup
    caption: str = ""
    block: Literal["drawing"] = "drawing"


Block: TypeAlias = Text | Command | Facts | Table | Remark | Gallery | Legend | Drawing


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    blocks: Sequence[Block]


def render_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    return template.render(title=title, lead=lead, sections=sections)


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write the page, whole or not at all. Raises OSError."""
    atomic.write_text(path, render_page(title, lead, sections))
