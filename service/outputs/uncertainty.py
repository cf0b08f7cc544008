"""`uncertainty`: how undecided the model is between all classes, as a gray PNG."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.domain.classes import bands
from service.domain.segmentation import Need, Segmentation
from service.domain.temperature import uncertainty_of
from service.outputs.output import Output, OutputOptions
from service.outputs.png import EXTENSION, GRAY, MEDIA_TYPE, write_png


class UncertaintyOptions(OutputOptions):
    @property
    def format_need(self) -> Need:
        return "uncertainty"


def encode(segmentation: Segmentation, _options: UncertaintyOptions) -> Iterator[bytes]:
    height, width = segmentation.class_map.shape
    rows = (_rows(segmentation, band) for band in bands(height, width))
    return write_png(height, width, GRAY, rows)


def _rows(segmentation: Segmentation, band: slice) -> NDArray[np.uint8]:
    if segmentation.uncertainty is not None:
        return segmentation.uncertainty[band]
    assert segmentation.probabilities is not None  # the options say need
    return uncertainty_of(segmentation.probabilities[band])


UNCERTAINTY = Output(
    name="uncertainty",
    title="Uncertainty",
    extensions={MEDIA_TYPE: EXTENSION},
    options=UncertaintyOptions,
    description=(
        "8-bit gray PNG: the entropy of each pixel's probabilities as a part of the most that it "
        "can be, × 255: 0 is sure, 255 undecided between all classes. `classes` and "
        "`min_confidence` change nothing in it."
    ),
    encode=encode,
)
