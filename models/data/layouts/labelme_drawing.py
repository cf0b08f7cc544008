"""LabelMe's shapes as masks, drawn as LabelMe's own tools draw them; X-AnyLabeling's too."""

import base64
import binascii
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.data.dataset import DatasetError, Issue, upright_size
from models.data.layouts.regions import (
    Box,
    DrawnFromFile,
    beyond_the_picture,
    hidden_regions,
    require_pixels,
    require_rest,
)

# As wide as LabelMe's own tools draw what has no area.
_LINE_WIDTH_PIXELS = 10
_POINT_RADIUS_PIXELS = 5
_NOT_DRAWABLE = (ValueError, IndexError, TypeError, OverflowError, OSError, binascii.Error)

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """One shape: its class, its name in sentences, its kind, its points (x, y), and the PNG of a
    `mask`."""

    class_id: int
    name: str
    kind: str
    points: tuple[Point, ...]
    png: str | None = None

    @property
    def box(self) -> Box:
        """What its points span; of a circle, the circle."""
        x, y = zip(*self.points, strict=True)
        if self.kind == "circle" and len(self.points) == 2:
            radius = math.dist(*self.points)
            return x[0] - radius, y[0] - radius, x[0] + radius, y[0] + radius
        return min(x), min(y), max(x), max(y)


@dataclass(frozen=True, eq=False)
class DrawnMask(DrawnFromFile):
    """The shapes of one image, drawn in the file's order: a later one lies on top. `rest` is the
    class of pixels that no shape covers, None where nothing says it."""

    path: Path
    image: Path
    size: tuple[int, int] | None  # width, height; None where the file does not say it
    shapes: tuple[Shape, ...]
    rest: int | None = 0

    def read_with_issues(self) -> tuple[NDArray[np.uint8], tuple[Issue, ...]]:
        size, image = self.size or upright_size(self.image), self.image.name
        boxes = [shape.box for shape in self.shapes if shape.points]
        require_pixels(boxes, size, self.path, image)
        canvas = Image.new(
            "I", size, 0
        )  # 0 is the rest, else the shape that is on top, counted from 1
        for number, shape in enumerate(self.shapes, start=1):
            self._draw(canvas, shape, number)
        shown = np.asarray(canvas)
        require_rest(self.rest, int((shown == 0).sum()), self.path, image)
        classes = np.array([self.rest or 0] + [shape.class_id for shape in self.shapes], np.uint8)
        ids: NDArray[np.uint8] = classes[shown]
        seen = np.bincount(shown.ravel(), minlength=len(classes))[1:]
        unseen = [shape for shape, pixels in zip(self.shapes, seen, strict=True) if not pixels]
        issues = [*beyond_the_picture(boxes, size, self.path, image), *self._hidden(unseen, ids)]
        return ids, tuple(issues)

    def _draw(self, canvas: Image.Image, shape: Shape, number: int) -> None:
        try:
            DRAW[shape.kind](_Pen(canvas, number), shape)
        except _NOT_DRAWABLE as error:
            raise DatasetError(
                f"{self.path}: {shape.name} cannot be drawn from its {len(shape.points)} points "
                f"({error}); draw it again in LabelMe"
            ) from error

    def _hidden(self, unseen: list[Shape], ids: NDArray[np.uint8]) -> list[Issue]:
        """Warnings about shapes of no pixel, and about those that later ones of other classes cover
        whole."""
        empty, covered = [], []
        for shape in unseen:
            canvas = Image.new("I", (ids.shape[1], ids.shape[0]), 0)
            self._draw(canvas, shape, 1)
            below = ids[np.asarray(canvas) > 0]
            if below.size == 0:
                empty.append(shape.name)
            elif shape.class_id not in below:
                covered.append(shape.name)
        image = self.image.name
        return [
            *hidden_regions(empty, self.path, image, "no pixel of the picture lies in them"),
            *hidden_regions(
                covered, self.path, image, "later shapes of other classes cover them whole"
            ),
        ]


class _Pen:
    """Draws with one number."""

    def __init__(self, canvas: Image.Image, number: int) -> None:
        self._canvas = canvas
        self._draw = ImageDraw.Draw(canvas)
        self._number = number

    def polygon(self, points: tuple[Point, ...]) -> None:
        self._draw.polygon(points, fill=self._number, outline=self._number)

    def rectangle(self, box: Box) -> None:
        self._draw.rectangle(box, fill=self._number, outline=self._number)

    def disc(self, center: Point, radius: float) -> None:
        x, y = center
        box = (x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(box, fill=self._number, outline=self._number)

    def line(self, points: tuple[Point, ...], joint: str | None = None) -> None:
        self._draw.line(points, fill=self._number, width=_LINE_WIDTH_PIXELS, joint=joint)

    def stencil(self, corner: tuple[int, int], stencil: Image.Image) -> None:
        self._canvas.paste(self._number, corner, stencil)


def _polygon(pen: _Pen, shape: Shape) -> None:
    if len(shape.points) < 3:
        raise ValueError("a polygon has three or more")
    pen.polygon(shape.points)


def _rectangle(pen: _Pen, shape: Shape) -> None:
    """Two opposite corners as LabelMe has it, or all four as X-AnyLabeling."""
    if len(shape.points) == 4:
        _quadrilateral(pen, shape)
        return
    _require_points(shape, 2)
    pen.rectangle(shape.box)


def _quadrilateral(pen: _Pen, shape: Shape) -> None:
    _require_points(shape, 4)
    if _sides_cross(shape.points):
        raise ValueError("its corners are not in the order of its edge")
    pen.polygon(shape.points)


def _circle(pen: _Pen, shape: Shape) -> None:
    _require_points(shape, 2)
    pen.disc(shape.points[0], math.dist(*shape.points))


def _line(pen: _Pen, shape: Shape) -> None:
    _require_points(shape, 2)
    pen.line(shape.points)


def _linestrip(pen: _Pen, shape: Shape) -> None:
    if len(shape.points) < 2:
        raise ValueError("a linestrip has two or more")
    pen.line(shape.points, joint="curve")


def _point(pen: _Pen, shape: Shape) -> None:
    _require_points(shape, 1)
    pen.disc(shape.points[0], _POINT_RADIUS_PIXELS)


def _points(pen: _Pen, shape: Shape) -> None:
    if not shape.points:
        raise ValueError("points are one or more")
    for point in shape.points:
        pen.disc(point, _POINT_RADIUS_PIXELS)


def _bitmap(pen: _Pen, shape: Shape) -> None:
    """A PNG of a box's size; the box's corners are the first and the last pixel."""
    _require_points(shape, 2)
    with Image.open(io.BytesIO(base64.b64decode(shape.png or "", validate=True))) as png:
        if png.mode not in ("1", "L"):
            raise ValueError(f"its PNG is a {png.mode} image and not one of two values")
        stencil = png.convert("L").point(lambda value: 255 if value else 0)
    (x1, y1), (x2, y2) = shape.points
    width, height = round(x2) - round(x1) + 1, round(y2) - round(y1) + 1
    # LabelMe's box holds its last pixel, some tools' does not; with fractions its own size counts.
    is_whole = all(value == int(value) for value in (x1, y1, x2, y2))
    if is_whole and stencil.size not in ((width, height), (width - 1, height - 1)):
        raise ValueError(
            f"its PNG is {stencil.width}×{stencil.height} pixels and its box {width}×{height}"
        )
    pen.stencil((round(x1), round(y1)), stencil)


def _sides_cross(points: tuple[Point, ...]) -> bool:
    """Whether four corners are a bow tie: two of its opposite sides cross."""

    def side(a: Point, b: Point, c: Point) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    def cross(a: Point, b: Point, c: Point, d: Point) -> bool:
        return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0

    a, b, c, d = points
    return cross(a, b, c, d) or cross(b, c, d, a)


def _require_points(shape: Shape, count: int) -> None:
    if len(shape.points) != count:
        raise ValueError(f"a {shape.kind} has {count}")


DRAW: dict[str, Callable[[_Pen, Shape], None]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "oriented_rectangle": _quadrilateral,  # LabelMe 7.9
    "rotation": _quadrilateral,  # X-AnyLabeling
    "quadrilateral": _quadrilateral,
    "circle": _circle,
    "line": _line,
    "linestrip": _linestrip,
    "point": _point,
    "points": _points,
    "mask": _bitmap,
}
