"""Label Studio's predictions: brush masks, bitmasks, polygons without holes, and rectangles.

    {"model_version": "street/1", "score": 0.93, "result": [
        {"id": "0", "type": "brushlabels", "from_name": "tag", "to_name": "image", "score": 0.9,
         "original_width": 480, "original_height": 360, "image_rotation": 0,
         "value": {"format": "rle", "rle": [0, …], "brushlabels": ["road"]}}, …]}

A score is the mean of the winners' probabilities over the region's pixels, the prediction's over
all. Brushes and bitmasks are one region a label. Polygons and rectangles are one a connected
region, the largest first, so that what lies within another is on top.
"""

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image

from service.domain.classes import is_one_of
from service.domain.errors import AnswerTooLargeError
from service.domain.segmentation import Need, Segmentation
from service.outputs.brush import encode_brush
from service.outputs.outlines import light_rings, without_holes
from service.outputs.output import Output, OutputOptions
from service.outputs.polygons import refuse_noise, regions_of

Kind = Literal["brushlabels", "bitmasklabels", "polygonlabels", "rectanglelabels"]


@dataclass(frozen=True)
class Control:
    """What draws regions on a picture in a project: the names of its tag and its picture's tag, and
    the ids of the classes of each of its labels."""

    kind: Kind
    from_name: str
    to_name: str
    labels: Mapping[str, frozenset[int]]


@dataclass(frozen=True)
class OutlineLimits:
    """How regions become outlines: by how many pixels these may move, how many pixels a region has
    at least, and how many regions there may be."""

    tolerance: float = 1.0  # outlines along pixel edges have more corners than a person can drag
    min_area: float = 16.0
    max_regions: int = 1000


class PredictionOptions(OutputOptions):
    control: Control

    @property
    def format_need(self) -> Need:
        return "confidence"


def encode(segmentation: Segmentation, options: PredictionOptions) -> Iterator[bytes]:
    """The prediction of one picture."""
    return write_prediction(segmentation, options.control, OutlineLimits())


def write_prediction(
    segmentation: Segmentation, control: Control, limits: OutlineLimits
) -> Iterator[bytes]:
    """A prediction for a segmentation that has its confidence, as JSON in pieces."""
    confidence = segmentation.confidence
    assert confidence is not None  # the options say need
    height, width = segmentation.class_map.shape
    common = {
        "type": control.kind,
        "from_name": control.from_name,
        "to_name": control.to_name,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    head = {
        "model_version": segmentation.model.id,
        "score": _score(confidence, None),
    }
    yield orjson.dumps(head)[:-1] + b',"result":['
    draw = _DRAW[control.kind]
    regions = draw(segmentation.class_map, confidence, control.labels, limits)
    for number, (label, score, value) in enumerate(regions):
        region = {
            "id": str(number),
            **common,
            "score": score,
            "value": {**value, control.kind: [label]},
        }
        yield (b"," if number else b"") + orjson.dumps(region, option=orjson.OPT_SERIALIZE_NUMPY)
    yield b"]}"


Region = tuple[str, float, dict[str, Any]]  # label, score, value
Labels = Mapping[str, frozenset[int]]


def _masks(
    class_map: NDArray[np.uint8], confidence: NDArray[np.uint8], labels: Labels
) -> Iterator[tuple[str, float, NDArray[np.bool_]]]:
    """The labels that occur, with their scores and their pixels (H, W)."""
    for label, ids in labels.items():
        mask = is_one_of(class_map, ids)
        if mask.any():
            yield label, _score(confidence, mask), mask


def _brushes(
    class_map: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    labels: Labels,
    _limits: OutlineLimits,
) -> Iterator[Region]:
    for label, score, mask in _masks(class_map, confidence, labels):
        yield label, score, {"format": "rle", "rle": encode_brush(mask)}


def _bitmasks(
    class_map: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    labels: Labels,
    _limits: OutlineLimits,
) -> Iterator[Region]:
    for label, score, mask in _masks(class_map, confidence, labels):
        png = io.BytesIO()
        alpha = Image.fromarray(mask.astype(np.uint8) * 255)
        Image.merge("LA", (Image.new("L", alpha.size), alpha)).save(png, "PNG")
        url = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
        yield label, score, {"imageDataURL": url}


def _polygons(
    class_map: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    labels: Labels,
    limits: OutlineLimits,
) -> Iterator[Region]:
    size = np.array(class_map.shape[::-1])
    for label, score, rings in _outlines(class_map, confidence, labels, limits):
        corners = without_holes(light_rings(rings, limits.tolerance))
        yield label, score, {"points": (100 * corners / size).round(4).tolist(), "closed": True}


def _rectangles(
    class_map: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    labels: Labels,
    limits: OutlineLimits,
) -> Iterator[Region]:
    size = np.array(class_map.shape[::-1])
    for label, score, rings in _outlines(class_map, confidence, labels, limits):
        corner = 100 * rings[0].min(axis=0) / size
        extent = 100 * rings[0].max(axis=0) / size - corner
        (x, y), (width, height) = corner.tolist(), extent.tolist()
        yield label, score, {"x": x, "y": y, "width": width, "height": height, "rotation": 0}


_DRAW: Final[Mapping[Kind, Callable[..., Iterator[Region]]]] = {
    "brushlabels": _brushes,
    "bitmasklabels": _bitmasks,
    "polygonlabels": _polygons,
    "rectanglelabels": _rectangles,
}


def _outlines(
    class_map: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    labels: Labels,
    limits: OutlineLimits,
) -> Iterator[tuple[str, float, list[NDArray[np.int64]]]]:
    """The connected regions of the labels, the largest first: label, score, rings."""
    numbers = np.full(256, len(labels), np.uint8)  # classes of one label are one class here
    for number, ids in enumerate(labels.values()):
        numbers[sorted(ids)] = number
    label_map = numbers[class_map]
    refuse_noise([label_map])
    names = list(labels)
    kept = frozenset(range(len(names)))
    found = sorted(regions_of(label_map, kept, limits.min_area), key=lambda region: -region[1])
    if len(found) > limits.max_regions:
        raise AnswerTooLargeError(
            f"The picture has {len(found):,} regions of {limits.min_area:.0f} pixels or more; "
            f"{limits.max_regions:,} are given to Label Studio at most. Use brushes."
        )
    for number, _, rings in found:
        left, top = np.maximum(rings[0].min(axis=0), 0)
        right, bottom = rings[0].max(axis=0)
        box = slice(top, bottom), slice(left, right)
        yield names[number], _score(confidence[box], label_map[box] == number), rings


def _score(confidence: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> float:
    """The mean of the winners' probabilities, over `mask` if there is one."""
    held = confidence if mask is None else confidence[mask]
    return round(float(held.mean()) / 255, 4) if held.size else 0.0


PREDICTION = Output(
    name="labelstudio_prediction",
    title="Label Studio's prediction",
    extensions={"application/json": ".json"},
    options=PredictionOptions,
    description="One prediction of Label Studio's.",
    encode=encode,
)
