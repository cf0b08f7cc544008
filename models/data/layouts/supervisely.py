"""Supervisely's projects: meta.json with the classes, and in each data set img/NAME and
ann/NAME.json. Objects are drawn in their order, a later one on top.

Coordinates are of pixels, not of their corners: an outline and what it holds are of the object.
"""

import base64
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.data.dataset import DatasetError
from models.data.files import find_file, is_hidden
from models.data.layouts.annotated import (
    FAULTY,
    AnnotatedPicture,
    Annotations,
    Label,
    Shape,
    as_layout,
)
from models.data.layouts.geometry import Bitmap, Geometry, Ring, Size, Stencil, picture_size, ring
from models.data.layouts.json_files import load_json
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    UNSPLIT,
    ParsedLayout,
    fault_text,
    json_object,
    split_name,
)
from models.data.layouts.regions import Box
from models.data.options import LayoutOptions

_TOOL = "Supervisely"
_NO_AREA = "objects that cover no pixels (lines, points, graphs, cuboids), left out: {count}"
_OF_NO_AREA = ("line", "point", "graph", "cuboid")


@dataclass(frozen=True, eq=False)
class _Outline:
    """A polygon of pixels with holes, as the tool's SDK fills it: with its outline, and holes with
    theirs."""

    exterior: Ring
    holes: tuple[Ring, ...]

    def box(self, size: Size) -> Box | None:
        del size
        (left, top), (right, bottom) = self.exterior.min(axis=0), self.exterior.max(axis=0)
        return float(left), float(top), float(right) + 1, float(bottom) + 1

    def stencil(self, size: Size) -> Stencil:
        canvas = Image.new("1", size)
        draw = ImageDraw.Draw(canvas)
        for corners, value in ((self.exterior, 1), *((hole, 0) for hole in self.holes)):
            points = [(x, y) for x, y in np.rint(corners).astype(int).tolist()]
            draw.polygon(points, fill=value, outline=value)
        return Stencil(0, 0, np.asarray(canvas))


def parse_supervisely(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read the data sets of a project. Raises DatasetError where meta.json is faulty."""
    meta = folder / "meta.json"
    datasets = sorted(path.parent for path in folder.glob("*/**/ann") if path.is_dir())
    datasets = [path for path in datasets if not is_hidden(path) and (path / "img").is_dir()]
    if not meta.is_file() or not datasets:
        return None
    annotations = Annotations(labels=_labels(meta))
    for dataset in datasets:
        for path in sorted((dataset / "ann").glob("*.json")):
            if not is_hidden(path):
                _add(path, dataset, _split(dataset, folder), annotations)
    return as_layout(annotations, folder, options, _TOOL)


def _split(dataset: Path, folder: Path) -> str:
    """By the folders of a data set, which may lie in another's."""
    words = reversed(dataset.relative_to(folder).parts)
    return next((split for word in words if (split := split_name(word))), UNSPLIT)


def _labels(meta: Path) -> list[Label]:
    document = load_json(meta)
    try:
        classes = json_object(document)["classes"]
        return [Label(str(one["title"]), str(one["color"]).lower()) for one in classes]
    except ENTRY_FAULTS as error:
        raise DatasetError(
            f"{meta} is not as Supervisely writes it ({fault_text(error)}); export it again"
        ) from error


def _add(path: Path, dataset: Path, split: str, annotations: Annotations) -> None:
    """Add the objects of a picture, or what is wrong with them."""
    image = find_file(path.stem, [dataset / "img"])  # photo.jpg.json
    if image is None:
        same = [one for one in (dataset / "img").glob("*") if one.stem == path.stem]
        image = same[0] if len(same) == 1 else None
    if image is None:
        annotations.error("no image", f"{path} is of an image that is not in {dataset / 'img'}")
        return
    try:
        document = json_object(load_json(path))
        size = picture_size(document["size"]["width"], document["size"]["height"])
        objects = list(document["objects"])
    except DatasetError as error:
        annotations.error(FAULTY, str(error))
        return
    except ENTRY_FAULTS as error:
        annotations.error(FAULTY, f"{path} is not as Supervisely writes it ({fault_text(error)})")
        return
    shapes, sound = [], True
    for number, entry in enumerate(objects):
        name = f"objects[{number}]"
        try:
            kind, label = _kind_and_label(json_object(entry))
            name += f", the {kind} {label!r},"
            geometry = _geometry(kind, entry)
        except ENTRY_FAULTS as error:
            sound = False
            text = f"{path} is not as Supervisely writes it ({name} {fault_text(error)})"
            annotations.error(FAULTY, text)
            continue
        if geometry is None:
            annotations.leave_out(_NO_AREA)
        else:
            shapes.append(Shape(label, name, geometry))
    if sound:
        annotations.pictures.append(AnnotatedPicture(path, image, size, tuple(shapes), split))


def _kind_and_label(entry: Mapping[str, Any]) -> tuple[str, str]:
    return str(entry.get("geometryType", "bitmap")), str(entry["classTitle"])


def _geometry(kind: str, entry: Mapping[str, Any]) -> Geometry | None:
    if kind == "bitmap":
        left, top = (int(value) for value in entry["bitmap"]["origin"])
        return Bitmap(left, top, partial(_decoded, str(entry["bitmap"]["data"])))
    if kind == "polygon":
        points = entry["points"]
        return _Outline(ring(points["exterior"]), tuple(map(ring, points.get("interior") or ())))
    if kind == "rectangle":
        (x0, y0), (x1, y1) = entry["points"]["exterior"]
        left, right = sorted((int(x0), int(x1)))
        top, bottom = sorted((int(y0), int(y1)))
        corners = ring([(left, top), (right, top), (right, bottom), (left, bottom)])
        return _Outline(corners, ())
    if kind not in _OF_NO_AREA:
        raise ValueError("is of a kind that is not read; bitmap, polygon and rectangle are")
    return None


def _decoded(data: str, size: Size) -> NDArray[np.bool_]:
    """A bitmap's pixels: a PNG, deflated once more, in base64. Raises ValueError and OSError."""
    limit = 4 * size[0] * size[1] + 2**16
    inflater = zlib.decompressobj()
    try:
        png = inflater.decompress(base64.b64decode(data, validate=True), limit)
    except zlib.error as error:
        raise ValueError(f"its bitmap is not deflated: {error}") from error
    with Image.open(io.BytesIO(png)) as image:
        if image.width > size[0] or image.height > size[1]:
            raise ValueError(
                f"its bitmap is {image.width}×{image.height} pixels and the picture "
                f"{size[0]}×{size[1]}"
            )
        has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        channel = image.convert("RGBA").getchannel("A") if has_alpha else image.convert("L")
        return np.asarray(channel) > 0
