"""`confidence`: how sure the model is of each pixel, as a gray PNG."""

from collections.abc import Iterator
from typing import ClassVar

from service.domain.classes import bands
from service.domain.segmentation import Need, Segmentation
from service.outputs.output import Output, OutputOptions, OverlapWriting
from service.outputs.png import EXTENSION, GRAY, MEDIA_TYPE, write_png


class ConfidenceOptions(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "top"

    @property
    def format_need(self) -> Need:
        return "confidence"


def encode(segmentation: Segmentation, _options: ConfidenceOptions) -> Iterator[bytes]:
    confidence = segmentation.confidence
    assert confidence is not None  # the options say need
    height, width = confidence.shape
    rows = (confidence[band] for band in bands(height, width))
    return write_png(height, width, GRAY, rows)


CONFIDENCE = Output(
    name="confidence",
    title="Confidence",
    extensions={MEDIA_TYPE: EXTENSION},
    options=ConfidenceOptions,
    description=(
        "8-bit gray PNG: the probability of each pixel's winning class × 255, rounded; 0 where "
        "`classes` left it out."
    ),
    encode=encode,
)
