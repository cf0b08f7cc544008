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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray
from PIL import Image

from service.domain.classes import is_one_of
from service.domain.errors import AnswerTooLargeError
from service.domain.segmentation import Need, Segmentation
from service.outputs.output import Output, OutputOptions
from service.outputs.polygons import refuse_noise, regions_of, simplify

Kind = Literal["brushlabels", "bitmasklabels", "polygonlabels", "rectanglelabels"]

# Outlines along pixel edges have more corners than a person can drag.
POLYGON_TOLERANCE: Final = 1.0  # pixels
MIN_REGION_PIXELS: Final = 16.0
MAX_REGIONS: Final = 1000
MAX_RUNS: Final = 2**20

_COUNT_BITS = 32
_WORD_BITS = 8
_FIELD_BITS = (3, 4, 8, 16)  # a run's length less 1 is written in one of four widths
_LONGEST = 2**16
_CHANNELS = 4


@dataclass(frozen=True)
class Control:
    """What draws regions on a picture in a project: the names of its tag and its picture's tag, and
    the ids of the classes of each of its labels."""

    kind: Kind
    from_name: str
    to_name: str
    labels: Mapping[str, frozenset[int]]


class LabelStudioOptions(OutputOptions):
    control: Control

    @property
    def need(self) -> Need:
        return "confidence"


def encode(segmentation: Segmentation, options: LabelStudioOptions) -> Iterator[bytes]:
    """The prediction of one picture."""
    control, confidence = options.control, segmentation.confidence
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
    regions = _DRAW[control.kind](segmentation.class_map, confidence, control.labels)
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
    class_map: NDArray[np.uint8], confidence: NDArray[np.uint8], labels: Labels
) -> Iterator[Region]:
    for label, score, mask in _masks(class_map, confidence, labels):
        yield label, score, {"format": "rle", "rle": encode_brush(mask)}


def _bitmasks(
    class_map: NDArray[np.uint8], confidence: NDArray[np.uint8], labels: Labels
) -> Iterator[Region]:
    for label, score, mask in _masks(class_map, confidence, labels):
        png = io.BytesIO()
        alpha = Image.fromarray(mask.astype(np.uint8) * 255)
        Image.merge("LA", (Image.new("L", alpha.size), alpha)).save(png, "PNG")
        url = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
        yield label, score, {"imageDataURL": url}


def _polygons(
    class_map: NDArray[np.uint8], confidence: NDArray[np.uint8], labels: Labels
) -> Iterator[Region]:
    size = np.array(class_map.shape[::-1])
    for label, score, rings in _outlines(class_map, confidence, labels):
        corners = without_holes(simplify(rings, POLYGON_TOLERANCE))
        yield label, score, {"points": (100 * corners / size).round(4).tolist(), "closed": True}


def _rectangles(
    class_map: NDArray[np.uint8], confidence: NDArray[np.uint8], labels: Labels
) -> Iterator[Region]:
    size = np.array(class_map.shape[::-1])
    for label, score, rings in _outlines(class_map, confidence, labels):
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
    class_map: NDArray[np.uint8], confidence: NDArray[np.uint8], labels: Labels
) -> Iterator[tuple[str, float, list[NDArray[np.int64]]]]:
    """The connected regions of the labels, the largest first: label, score, rings."""
    numbers = np.full(256, len(labels), np.uint8)  # classes of one label are one class here
    for number, ids in enumerate(labels.values()):
        numbers[sorted(ids)] = number
    label_map = numbers[class_map]
    refuse_noise(label_map)
    names = list(labels)
    kept = frozenset(range(len(names)))
    found = sorted(regions_of(label_map, kept, MIN_REGION_PIXELS), key=lambda region: -region[1])
    if len(found) > MAX_REGIONS:
        raise AnswerTooLargeError(
            f"The picture has {len(found):,} regions of {MIN_REGION_PIXELS:.0f} pixels or more; "
            f"{MAX_REGIONS:,} are given to Label Studio at most. Use BrushLabels."
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


def without_holes(rings: Iterable[NDArray[np.int64]]) -> NDArray[np.float64]:
    """One ring (n, 2) around the same area: a seam leads to each hole and back.

    Rings are closed (the last corner is the first) and wound against each other, so that by either
    rule of filling a hole stays one.
    """
    outline, *holes = (ring[:-1].astype(np.float64) for ring in rings)
    for hole in holes:
        tree = shapely.STRtree(list(map(shapely.Point, outline)))
        nearest, distances = tree.query_nearest(
            shapely.points(hole), return_distance=True, all_matches=False
        )
        best = int(distances.argmin())
        start, place = int(nearest[0][best]), int(nearest[1][best])
        loop = np.roll(hole, -start, axis=0)
        outline = np.concatenate(
            [outline[: place + 1], loop, loop[:1], outline[place : place + 1], outline[place + 1 :]]
        )
    return outline


def encode_brush(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Label Studio's run lengths of a mask (H, W), as bytes: @thi.ng/rle-pack over RGBA values of
    255 where the mask is and 0 where it is not.

    A head of 32 bits for the number of values, 5 for the bits a value less 1, and four times 4 for
    the widths less 1 in which lengths are written; then for each run a 1 bit, 2 bits that choose
    the width, the length less 1, and the value. Raises AnswerTooLargeError for more than 2^20 runs.
    """
    flat = np.ascontiguousarray(mask).reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    if len(starts) > MAX_RUNS:
        raise AnswerTooLargeError(
            f"The mask has {len(starts):,} runs of pixels; {MAX_RUNS:,} are given to Label Studio "
            "at most. Send the picture smaller."
        )
    lengths = np.diff(starts, append=flat.size) * _CHANNELS
    values = flat[starts].astype(np.uint64) * 255
    pieces = -(-lengths // _LONGEST)  # a run longer than a field holds is written in pieces
    values = np.repeat(values, pieces)
    written = np.full(len(values), _LONGEST, np.int64)
    written[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    field = np.searchsorted([2**bits for bits in _FIELD_BITS], written)
    width = np.array(_FIELD_BITS)[field]
    codes = np.uint64(0b100) | field.astype(np.uint64)
    codes = codes << width.astype(np.uint64) | (written - 1).astype(np.uint64)
    codes = codes << np.uint64(_WORD_BITS) | values
    head = flat.size * _CHANNELS
    head = head << 5 | _WORD_BITS - 1
    for bits in _FIELD_BITS:
        head = head << 4 | bits - 1
    head_bits = _COUNT_BITS + 5 + 4 * len(_FIELD_BITS)
    first = np.unpackbits(np.frombuffer((head << 64 - head_bits).to_bytes(8), np.uint8))[:head_bits]
    return np.packbits(np.concatenate([first, _bits(codes, 3 + width + _WORD_BITS)]))


def _bits(codes: NDArray[np.uint64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The lowest `widths` bits of each code, at most 32, one after another."""
    shifted = (codes << (32 - widths).astype(np.uint64)).astype(">u4")
    bits = np.unpackbits(shifted.view(np.uint8)).reshape(-1, 32)
    chosen: NDArray[np.uint8] = bits[np.arange(32) < widths[:, None]]
    return chosen


PREDICTION = Output(
    name="labelstudio_prediction",
    title="Label Studio's prediction",
    extensions={"application/json": ".json"},
    options=LabelStudioOptions,
    description="One prediction of Label Studio's.",
    encode=encode,
)
