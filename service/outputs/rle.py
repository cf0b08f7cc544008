"""`rle`: JSON with the row-major run lengths of the class map."""

from collections.abc import Iterator
from typing import ClassVar

import orjson

from service.domain.classes import describe
from service.domain.segmentation import Segmentation
from service.outputs.output import Output, OverlapWriting
from service.outputs.runs import find_runs
from service.outputs.sureness import SurenessOptions, mean_of_classes


class RleOptions(SurenessOptions):
    overlap: ClassVar[OverlapWriting] = "top"


def encode(segmentation: Segmentation, options: RleOptions) -> Iterator[bytes]:
    model = segmentation.model
    height, width = segmentation.class_map.shape
    sure = mean_of_classes(segmentation, options)
    runs = find_runs(segmentation.class_map.reshape(-1))
    document = {
        "model": {"name": model.contract.name, "version": model.version},
        **segmentation.source.place(),
        "width": width,
        "height": height,
        **segmentation.seen(),
        "classes": [
            {
                **describe(model.contract, class_id),
                "pixels": pixels,
                "fraction": pixels / (height * width),
                **({"confidence": sure[class_id]} if class_id in sure else {}),
            }
            for class_id, pixels in runs.pixels().items()
        ],
        "rle": {"order": "row-major", "values": runs.values, "lengths": runs.lengths},
    }
    yield orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


RLE = Output(
    name="rle",
    title="JSON",
    extensions={"application/json": ".json"},
    options=RleOptions,
    description=(
        "JSON with the row-major run lengths of the class map, and the pixels of each class that "
        "occurs: "
        "`lengths[i]` pixels of class `values[i]`, row after row from the top left."
    ),
    encode=encode,
)
