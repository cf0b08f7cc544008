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
    ClassList,
    DatasetError,
    Issue,
    Sample,
    read_classes,
    unreadable,
)
from models.data.layouts.class_files import VOID_NAMES, Classes, unknown_classes
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    UNSPLIT,
    ParsedLayout,
    fault_text,
    images_below,
    json_object,
    make_class_list,
    split_name,
)
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


def _disc(draw: ImageDraw.ImageDraw, center: Point, radius: float, class_id: int) -> None:
    x, y = center
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


def parse_labelme(folder: Path, options: LayoutOptions) -> ParsedLayout | None:  # noqa: ARG001
    """Read the shapes of every JSON file. Raises DatasetError where there are too many classes or classes.json is faulty."""
    faults: list[Issue] = []
    paths = [path for path in sorted(folder.rglob("*.json")) if path.name != "classes.json"]
    documents = {
        path: document for path in paths if (document := _document(path, faults)) is not None
    }
    if not documents and not faults:
        return None
    classes = _classes(folder, documents)
    found = ParsedLayout(classes.class_list, issues=[*faults, *classes.issues])
    for path, document in documents.items():
        _add_document(found, folder, path, document)
    images = [_image(path, document) for path, document in documents.items()]
    used = {image.resolve() for image in images if image.is_file()}
    folders = {path.parent for path in documents}
    for image in images_below(folder):
        has_json = image.resolve() in used or image.with_suffix(".json").is_file()
        if image.parent in folders and not has_json:
            found.warning("no shapes", f"{image} has no JSON of shapes and is left out")
    return found


def _document(path: Path, faults: list[Issue]) -> dict[str, Any] | None:
    """What a JSON file says, without the embedded image; None where it is not LabelMe's, or no JSON and an issue says so."""
    content = path.read_bytes()
    if b'"shapes"' not in content:
        return None
    try:
        document = json.loads(content)
    except ValueError as error:
        faults.append(Issue("error", "faulty shapes", f"{path} is not JSON: {error}"))
        return None
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        return None
    document.pop("imageData", None)
    return document


def _classes(folder: Path, documents: dict[Path, dict[str, Any]]) -> Classes:
    """classes.json if there is one; else background and the labels in alphabetical order."""
    if (folder / "classes.json").is_file():
        return Classes(read_classes(folder / "classes.json"), None)
    labels = {
        str(shape["label"])
        for document in documents.values()
        for shape in document["shapes"]
        if isinstance(shape, dict) and "label" in shape
    }
    named = sorted(label for label in labels if label.lower() not in VOID_NAMES | _BACKGROUND_NAMES)
    if not named:
        return unknown_classes(folder, f"{folder}: no shape has a label that names a class")
    try:
        return Classes(
            make_class_list(folder.name or "labelme", ["background", *named], "LabelMe"), None
        )
    except ValidationError as error:
        raise DatasetError(
            f"{folder}: {len(named)} labels; segtrain takes 1 to 254 of different names"
        ) from error


def _image(path: Path, document: dict[str, Any]) -> Path:
    """Where the image of a file of shapes is to be."""
    name = str(document.get("imagePath") or "").replace("\\", "/")
    image = path.parent / name
    return image if image.is_file() else path.parent / Path(name).name


def _add_document(found: ParsedLayout, folder: Path, path: Path, document: dict[str, Any]) -> None:
    image = _image(path, document)
    if not image.is_file():
        name = document.get("imagePath") or ""
        found.error("no image", f"{path} is of the image {name!r}, which is not there; add it")
        return
    shapes, faults = _shapes(path, document["shapes"], found.class_list)
    size = None
    try:
        size = _stated_size(document)
    except ENTRY_FAULTS as error:
        faults.append(f"{path}: imageWidth and imageHeight are not a size ({error}); save it again")
    for text in faults:
        found.error("faulty shapes", text)
    if not faults:
        words = path.relative_to(folder).parts[:-1]
        split = next((split for word in words if (split := split_name(word))), UNSPLIT)
        found.add(split, Sample(image, DrawnMask(path, image, size, shapes)))


def _stated_size(document: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height; None where the file does not say them. Raises ENTRY_FAULTS where they are none."""
    width, height = document.get("imageWidth"), document.get("imageHeight")
    if not width or not height:
        return None
    size = int(width), int(height)
    if min(size) < 1:
        raise ValueError(f"{size[0]}×{size[1]}")
    return size


def _shapes(
    path: Path, entries: list[Any], class_list: ClassList
) -> tuple[tuple[Shape, ...], list[str]]:
    """The shapes that can be drawn, and sentences about the others, each once."""
    ids = {c.name: c.id for c in class_list.classes}
    shapes, faults = [], dict[str, None]()
    for index, entry in enumerate(entries):
        try:
            shapes.append(_shape(path, entry, ids, class_list.ignore))
        except DatasetError as error:
            faults[str(error)] = None
        except ENTRY_FAULTS as error:
            text = f"{path}: shapes[{index}] is not as LabelMe writes it ({fault_text(error)}); save it again"
            faults[text] = None
    return tuple(shapes), list(faults)


def _shape(path: Path, entry: Any, ids: dict[str, int], ignore: int | None) -> Shape:
    """Read a shape. Raises DatasetError where it cannot be drawn, ENTRY_FAULTS where it is none."""
    shape = json_object(entry)
    kind = str(shape.get("shape_type") or "polygon")
    class_id = _class_id(path, str(shape["label"]), ids, ignore)
    if kind not in DRAW:
        raise DatasetError(f"{path} has a {kind}; segtrain draws {', '.join(DRAW)}")
    points = tuple((float(x), float(y)) for x, y in shape["points"])
    return Shape(class_id, kind, points, shape.get("mask"))


def _class_id(path: Path, label: str, ids: dict[str, int], ignore: int | None) -> int:
    """What a label is drawn with. Raises DatasetError where nothing is said of it."""
    if label in ids:
        return ids[label]
    if label.lower() in _BACKGROUND_NAMES:
        return 0
    if label.lower() not in VOID_NAMES:
        raise DatasetError(
            f"{path} has the label {label!r}, which classes.json does not list; add it there"
        )
    if ignore is None:
        raise DatasetError(
            f"{path} has the label {label!r}, and classes.json ignores nothing; set its ignore to a "
            "value that is no class, such as 255"
        )
    return ignore


def _size(image: Path) -> tuple[int, int]:
    try:
        with Image.open(image) as opened:
            return opened.size
    except UNREADABLE as error:
        raise unreadable(image, error) from error
