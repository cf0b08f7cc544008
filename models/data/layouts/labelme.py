"""LabelMe: a JSON file an image, with shapes to draw."""

import base64
import binascii
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import ValidationError

from models.data.dataset import (
    UNREADABLE,
    VOID,
    ClassList,
    DatasetError,
    Sample,
    read_classes,
    unreadable,
)
from models.data.layouts.class_files import VOID_NAMES
from models.data.layouts.layout import UNSPLIT, Found, images_below, made_classes, split_name
from models.data.options import LayoutOptions

_BACKGROUND_NAMES = frozenset({"_background_", "background"})
# As wide as LabelMe's own tools draw what has no area.
_LINE_WIDTH_PIXELS = 10
_POINT_RADIUS_PIXELS = 5

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """One shape: its class, its kind, its points (x, y), and the PNG of a `mask`."""

    class_id: int
    kind: str
    points: tuple[Point, ...]
    png: str | None = None


@dataclass(frozen=True, eq=False)
class DrawnMask:
    """The shapes of one image, drawn in the file's order: a later one lies on top."""

    path: Path
    image: Path
    size: tuple[int, int] | None  # width, height; None where the file does not say it
    shapes: tuple[Shape, ...]

    def read(self) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W), 0 where no shape is. Raises DatasetError."""
        canvas = Image.new("L", self.size or _size(self.image))
        draw = ImageDraw.Draw(canvas)
        for shape in self.shapes:
            try:
                DRAW[shape.kind](draw, canvas, shape)
            except (ValueError, IndexError, TypeError, OSError, binascii.Error) as error:
                raise DatasetError(
                    f"{self.path}: a {shape.kind} cannot be drawn from its {len(shape.points)} points ({error}); "
                    "draw it again in LabelMe"
                ) from error
        return np.asarray(canvas)


def _polygon(draw: ImageDraw.ImageDraw, canvas: Image.Image, shape: Shape) -> None:  # noqa: ARG001
    if len(shape.points) < 3:
        raise ValueError("a polygon has three or more")
    draw.polygon(shape.points, fill=shape.class_id, outline=shape.class_id)


def _rectangle(draw: ImageDraw.ImageDraw, canvas: Image.Image, shape: Shape) -> None:  # noqa: ARG001
    (x1, y1), (x2, y2) = shape.points
    box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    draw.rectangle(box, fill=shape.class_id, outline=shape.class_id)


def _circle(draw: ImageDraw.ImageDraw, canvas: Image.Image, shape: Shape) -> None:  # noqa: ARG001
    (x, y), edge = shape.points
    _disc(draw, (x, y), math.dist((x, y), edge), shape.class_id)


def _line(draw: ImageDraw.ImageDraw, canvas: Image.Image, shape: Shape) -> None:  # noqa: ARG001
    draw.line(shape.points, fill=shape.class_id, width=_LINE_WIDTH_PIXELS)


def _point(draw: ImageDraw.ImageDraw, canvas: Image.Image, shape: Shape) -> None:  # noqa: ARG001
    _disc(draw, shape.points[0], _POINT_RADIUS_PIXELS, shape.class_id)


def _bitmap(draw: ImageDraw.ImageDraw, canvas: Image.Image, shape: Shape) -> None:  # noqa: ARG001
    """A PNG whose upper left corner is the first point."""
    with Image.open(io.BytesIO(base64.b64decode(shape.png or "", validate=True))) as png:
        stencil = png.convert("L").point(lambda value: 255 if value else 0)
    corner = round(shape.points[0][0]), round(shape.points[0][1])
    canvas.paste(shape.class_id, corner, stencil)


def _disc(draw: ImageDraw.ImageDraw, centre: Point, radius: float, class_id: int) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=class_id, outline=class_id)


DRAW: dict[str, Callable[[ImageDraw.ImageDraw, Image.Image, Shape], None]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "line": _line,
    "linestrip": _line,
    "point": _point,
    "points": _point,
    "mask": _bitmap,
}


def find_labelme(folder: Path, options: LayoutOptions) -> Found | None:  # noqa: ARG001
    """Read the shapes of every JSON file. Raises DatasetError where one does not hold together."""
    paths = [path for path in sorted(folder.rglob("*.json")) if path.name != "classes.json"]
    documents = {path: document for path in paths if (document := _document(path)) is not None}
    if not documents:
        return None
    class_list = _classes(folder, documents)
    found = Found(class_list)
    for path, document in documents.items():
        _add_document(found, folder, path, document)
    used = {sample.image.resolve() for samples in found.samples.values() for sample in samples}
    folders = {path.parent for path in documents}
    for image in images_below(folder):
        if image.parent in folders and image.resolve() not in used:
            found.warning("no shapes", f"{image} has no JSON of shapes and is left out")
    return found


def _document(path: Path) -> dict[str, Any] | None:
    """What a JSON file says, without the embedded image; None where it is not LabelMe's."""
    content = path.read_bytes()
    if b'"shapes"' not in content:
        return None
    try:
        document = json.loads(content)
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        return None
    document.pop("imageData", None)
    return document


def _classes(folder: Path, documents: dict[Path, dict[str, Any]]) -> ClassList:
    """classes.json if there is one; else background and the labels in alphabetical order."""
    if (folder / "classes.json").is_file():
        return read_classes(folder / "classes.json")
    labels = {
        str(shape.get("label", ""))
        for document in documents.values()
        for shape in document["shapes"]
    }
    named = sorted(label for label in labels if label.lower() not in VOID_NAMES | _BACKGROUND_NAMES)
    try:
        return made_classes(folder.name or "labelme", ["background", *named], "LabelMe")
    except ValidationError as error:
        raise DatasetError(
            f"{folder}: {len(named)} labels; segtrain takes 1 to 254 of different names"
        ) from error


def _add_document(found: Found, folder: Path, path: Path, document: dict[str, Any]) -> None:
    name = str(document.get("imagePath") or "").replace("\\", "/")
    image = path.parent / name
    if not image.is_file():
        image = path.parent / Path(name).name
    if not name or not image.is_file():
        found.error("no image", f"{path} is of the image {name!r}, which is not there; add it")
        return
    ids = {c.name: c.id for c in found.class_list.classes}
    try:
        shapes = tuple(_shape(shape, ids, path) for shape in document["shapes"])
        width, height = document.get("imageWidth"), document.get("imageHeight")
        size = (int(width), int(height)) if width and height else None
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path} is not as LabelMe writes it ({type(error).__name__}: {error}); save it again"
        ) from error
    words = path.relative_to(folder).parts[:-1]
    split = next((split for word in words if (split := split_name(word))), UNSPLIT)
    found.add(split, Sample(image, DrawnMask(path, image, size, shapes)))


def _shape(shape: dict[str, Any], ids: dict[str, int], path: Path) -> Shape:
    label, kind = str(shape["label"]), str(shape.get("shape_type") or "polygon")
    if label in ids:
        class_id = ids[label]
    elif label.lower() in VOID_NAMES:
        class_id = VOID
    elif label.lower() in _BACKGROUND_NAMES:
        class_id = 0
    else:
        raise DatasetError(
            f"{path} has the label {label!r}, which classes.json does not list; add it there"
        )
    if kind not in DRAW:
        raise DatasetError(f"{path} has a {kind}; segtrain draws {', '.join(DRAW)}")
    points = tuple((float(x), float(y)) for x, y in shape["points"])
    return Shape(class_id, kind, points, shape.get("mask"))


def _size(image: Path) -> tuple[int, int]:
    try:
        with Image.open(image) as opened:
            return opened.size
    except UNREADABLE as error:
        raise unreadable(image, error) from error
