"""A task's results as Label Studio writes them, as areas of its picture."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from models.data.layouts.annotated import Shape
from models.data.layouts.geometry import (
    Bitmap,
    Ellipse,
    Geometry,
    Polygon,
    Size,
    picture_size,
    rectangle,
    require_finite,
    ring,
)
from models.data.layouts.labelstudio_brush import decode_bitmask, decode_brush

# A result's label stands in its value under the name of the tag that drew it.
_LABELS = (
    "labels",
    *(f"{tag}labels" for tag in ("brush", "bitmask", "polygon", "rectangle", "ellipse")),
)
_PLACE = ("rle", "imageDataURL", "points", "x", "y", "width", "height", "radiusX", "radiusY")


def place_of(value: Mapping[str, Any]) -> str:
    """A short text that two values share where they are of one place."""
    place = repr([value.get(name) for name in _PLACE])
    return hashlib.blake2b(place.encode(), digest_size=8).hexdigest()


def regions_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The results by region: those of one `id` are one region, of which a tag may have drawn the
    area, a second given the label and a third asked a question. Values come together in `value`."""
    regions: dict[Any, dict[str, Any]] = {}
    for number, result in enumerate(results):
        value = result.get("value")
        if not isinstance(value, dict):
            continue  # a relation of two regions
        key = str(result.get("id") or f"result {number}")
        region = regions.setdefault(key, {"value": {}, "name": f"region {key}"})
        region["value"].update(value)
        region.update({name: held for name, held in result.items() if name not in ("value", "id")})
    return list(regions.values())


def size_of(region: Mapping[str, Any]) -> Size:
    """Width and height of the picture that a region was drawn on. Raises ValueError, KeyError and
    TypeError."""
    return picture_size(region["original_width"], region["original_height"])


def has_area(region: Mapping[str, Any]) -> bool:
    """Whether it covers pixels: not so keypoints, vectors, and answers to questions."""
    value = region["value"]
    return bool(
        {"rle", "imageDataURL", "points", "radiusX"} & value.keys()
        or {"x", "width", "height"} <= value.keys()
    )


def shape_of(region: Mapping[str, Any], size: Size) -> Shape:
    """Raises ValueError, KeyError and TypeError where it is not as Label Studio writes it."""
    value = region["value"]
    labels = [label for key in _LABELS for label in value.get(key) or ()]
    if len(set(labels)) != 1:
        had = f"the labels {', '.join(map(str, labels))}" if labels else "no label"
        raise ValueError(f"it has {had}; give it one")
    if region.get("image_rotation"):
        raise ValueError(
            f"its picture was turned by {region['image_rotation']}° in Label Studio, and its "
            "coordinates may be of either; turn it back there"
        )
    return Shape(str(labels[0]), region["name"], _geometry(value, size))


def _geometry(value: Mapping[str, Any], size: Size) -> Geometry:
    width, height = size
    if "rle" in value:
        return Bitmap(0, 0, partial(decode_brush, _bytes_of(value["rle"])))
    if "imageDataURL" in value:
        return Bitmap(0, 0, partial(decode_bitmask, str(value["imageDataURL"])))
    if "points" in value:
        if value.get("closed") is False:
            raise ValueError("its polygon is not closed; close it")
        return Polygon((ring(value["points"]) / 100 * size,))
    x, y = float(value["x"]) / 100 * width, float(value["y"]) / 100 * height
    rotation = float(value.get("rotation") or 0)
    if "radiusX" in value:
        radii = float(value["radiusX"]) / 100 * width, float(value["radiusY"]) / 100 * height
        require_finite(np.array([x, y, *radii, rotation]))
        return Ellipse(x, y, *radii, rotation)
    across, down = float(value["width"]) / 100 * width, float(value["height"]) / 100 * height
    return rectangle(x, y, across, down, rotation, around_center=False)


def _bytes_of(rle: Any) -> bytes:
    """Run lengths as they are kept until they are drawn: a list of numbers takes forty times as
    much. Raises ValueError and TypeError."""
    if not isinstance(rle, list):
        raise TypeError("its rle is not a list of bytes")
    return bytes(rle)
