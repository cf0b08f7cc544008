"""One self-contained HTML page with pictures, good to read in light and dark."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from models.contract import Contract

_TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class View:
    """A JPEG or PNG, and what it shows."""

    image: bytes
    shows: str


@dataclass(frozen=True)
class Figure:
    """Views of one picture beside each other; `title` is bold, `lines` say more."""

    views: Sequence[View]
    title: str
    lines: Sequence[str]


def page(title: str, lead: str, parts: Sequence[str], *, width: str) -> str:
    """The page. `parts` are HTML; `width` is the least of a figure's, such as 360px."""
    text = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return text.substitute(
        title=escape(title), lead=escape(lead), body="\n".join(parts), width=width
    )


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def legend(contract: Contract) -> str:
    """The classes' colors."""
    items = [
        f'<li><span class="swatch" style="background:{one.color}"></span>{escape(one.name)}</li>'
        for one in contract.classes
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def gallery(figures: Sequence[Figure]) -> str:
    items = [f"<li>{_figure(figure)}</li>" for figure in figures]
    return f'<ol class="gallery">{"".join(items)}</ol>'


def _figure(figure: Figure) -> str:
    views = "".join(_image(view) for view in figure.views)
    lines = "".join(f"<span>{escape(line)}</span>" for line in figure.lines)
    caption = f"<figcaption><b>{escape(figure.title)}</b>{lines}</figcaption>"
    return f'<figure><div class="views">{views}</div>{caption}</figure>'


def _image(view: View) -> str:
    shows = escape(view.shows)
    return f'<img src="{_data_url(view.image)}" alt="{shows}" title="{shows}">'


def _data_url(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
