"""`coco`: a COCO dataset of one image, one compressed RLE a class, as `pycocotools.coco.COCO` reads
it.

    {"info":        {"description": …, "model": {"name": "street", "version": 1},
                     "page": 1, "pages": 1},
     "images":      [{"id": 1, "file_name": "photo.jpg", "width": 480, "height": 360}],
     "categories":  [{"id": 4, "class_id": 3, "name": "road", "color": "#804080"}, …],  every class
     "annotations": [{"id": 1, "image_id": 1, "category_id": 4, "iscrowd": 0, "area": 51234,
                      "bbox": [left, top, width, height],
                      "segmentation": {"size": [height, width], "counts": "…"}}, …]}

Category ids start at 1, since many readers take 0 for "no category"; `class_id` is the id that
other formats give. A class that does not occur has no annotation; pixels that none covers are those
that `classes` left out.
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray

from service.domain.classes import describe, kept_ids
from service.domain.segmentation import Segmentation
from service.outputs.output import Output, OverlapWriting
from service.outputs.runs import Runs, find_runs
from service.outputs.sureness import SurenessOptions, mean_of_classes

UNNAMED = "image"  # what a picture is called that was sent without a name
_CHUNK = 2**20


class CocoOptions(SurenessOptions):
    overlap: ClassVar[OverlapWriting] = "each"


def encode(segmentation: Segmentation, options: CocoOptions) -> Iterator[bytes]:
    model, contract = segmentation.model, segmentation.model.contract
    height, width = segmentation.class_map.shape
    masks = [
        (class_id, _runs_of(runs, class_id))
        for ids, layer in segmentation.layers(kept_ids(contract, options.classes))
        for runs in [find_runs(layer.T.reshape(-1))]  # COCO counts down the columns
        for class_id in runs.pixels()
        if class_id in ids
    ]
    sure = mean_of_classes(segmentation, options)
    document = {
        "info": {
            "description": "Class map as one RLE a class",
            "model": {"name": contract.name, "version": model.version},
            **segmentation.source.place(),
            **segmentation.seen(),
        },
        "images": [
            {
                "id": 1,
                "file_name": segmentation.source.file_name or UNNAMED,
                "width": width,
                "height": height,
            }
        ],
        "categories": [
            {
                **describe(contract, segmentation_class.id),
                "id": _category_id(segmentation_class.id),
                "class_id": segmentation_class.id,
            }
            for segmentation_class in contract.classes
        ],
        "annotations": [
            {
                "id": number,
                "image_id": 1,
                "category_id": _category_id(class_id),
                "iscrowd": 0,
            }
            | _annotate(mask, height, width)
            | ({"score": sure[class_id]} if class_id in sure else {})
            for number, (class_id, mask) in enumerate(masks, start=1)
        ],
    }
    yield orjson.dumps(document)


def _category_id(class_id: int) -> int:
    return class_id + 1


def compress(counts: NDArray[np.int64]) -> str:
    """Write RLE counts as COCO's string.

    From the fourth count on, the difference to the count two back is kept. A number is cut into
    5-bit digits, the lowest first; bit 5 says that more follow, bit 4 of the last is its sign; each
    digit is written as chr(48 + digit).
    """
    deltas = counts.copy()
    deltas[3:] -= counts[1:-2]
    return b"".join(_digits(deltas[i : i + _CHUNK]) for i in range(0, len(deltas), _CHUNK)).decode(
        "ascii"
    )


def _digits(numbers: NDArray[np.int64]) -> bytes:
    rows: list[NDArray[np.uint8]] = []
    written: list[NDArray[np.bool_]] = []
    unfinished = np.ones(len(numbers), np.bool_)
    while unfinished.any():
        digit = numbers & 0x1F
        numbers = numbers >> 5
        written.append(unfinished)
        unfinished = unfinished & (numbers != np.where(digit & 0x10, -1, 0))
        rows.append((digit + 0x20 * unfinished + 48).astype(np.uint8))
    return np.stack(rows, axis=1)[np.stack(written, axis=1)].tobytes()


def _annotate(runs: Runs, height: int, width: int) -> dict[str, object]:
    """The area, bounding box and RLE of one class, from its runs down the columns."""
    ends = runs.starts + runs.lengths
    edges = np.stack((runs.starts, ends), axis=1).reshape(-1)
    counts = np.diff(edges, prepend=0, append=height * width)
    if counts[-1] == 0:
        counts = counts[:-1]
    left, right = int(runs.starts[0]) // height, int(ends[-1] - 1) // height
    wraps = (runs.starts // height != (ends - 1) // height).any()
    top = 0 if wraps else int((runs.starts % height).min())
    bottom = height - 1 if wraps else int(((ends - 1) % height).max())
    return {
        "area": int(runs.lengths.sum()),
        "bbox": [left, top, right - left + 1, bottom - top + 1],
        "segmentation": {"size": [height, width], "counts": compress(counts)},
    }


def _runs_of(runs: Runs, class_id: int) -> Runs:
    chosen = runs.values == class_id
    return Runs(runs.values[chosen], runs.starts[chosen], runs.lengths[chosen])


COCO = Output(
    name="coco",
    title="COCO",
    extensions={"application/json": ".json"},
    options=CocoOptions,
    description=(
        "JSON: a COCO dataset of one image with one annotation a class, its mask a compressed RLE "
        "as pycocotools reads it; each category's `class_id` is its id in other formats."
    ),
    encode=encode,
)
