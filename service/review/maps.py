"""What a version says of one picture, as arrays in this process."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from service.domain.classes import bands
from service.domain.segmentation import Need, Segmentation
from service.outputs.output import Output, OutputOptions, OverlapWriting
from service.predict.loaded import LoadedModel


@dataclass(frozen=True)
class MapsOf:
    """`class_map` (H, W) uint8; `confidence` is the mean of the winners' probabilities."""

    class_map: NDArray[np.uint8]
    confidence: float


async def maps_of(model: LoadedModel, body: bytes, options: OutputOptions | None = None) -> MapsOf:
    """Segment a file, seen as `options` say. Raises ServiceError."""
    seen = {} if options is None else options.model_dump(include={"page", "scale", "intensity"})
    answer = await model.segment(body, _MAPS, _Options(**seen), "")
    pixels = np.frombuffer(answer.encoded.body, np.uint8)
    size = answer.height * answer.width
    class_map = pixels[:size].reshape(answer.height, answer.width)
    return MapsOf(class_map, float(pixels[size:].mean()) / 255)


class _Options(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "top"

    @property
    def need(self) -> Need:
        return "confidence"


def _encode(segmentation: Segmentation, _options: OutputOptions) -> Iterator[bytes]:
    assert segmentation.confidence is not None  # the options say need
    for plane in (segmentation.class_map, segmentation.confidence):
        for rows in bands(*plane.shape):
            yield plane[rows].tobytes()


_MAPS = Output("maps", "Maps", {"application/octet-stream": ".bin"}, _Options, "", _encode)
