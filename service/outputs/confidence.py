"""`confidence`: how sure the model is of each pixel, as a gray PNG."""

from service.domain.classes import bands
from service.domain.segmentation import Need, Segmentation
from service.outputs.output import Encoded, Output, OutputOptions
from service.outputs.png import GRAY, MEDIA_TYPE, write_png


class ConfidenceOptions(OutputOptions):
    @property
    def need(self) -> Need:
        return "confidence"


def encode(segmentation: Segmentation, _options: ConfidenceOptions) -> Encoded:
    confidence = segmentation.confidence
    assert confidence is not None  # the options say need
    height, width = confidence.shape
    rows = (confidence[band] for band in bands(height, width))
    return Encoded(write_png(height, width, GRAY, rows), MEDIA_TYPE, ".png")


CONFIDENCE = Output(
    name="confidence",
    media_types=(MEDIA_TYPE,),
    options=ConfidenceOptions,
    description=(
        "8-bit gray PNG: the probability of each pixel's winning class × 255, rounded; 0 where "
        "`classes` left it out."
    ),
    encode=encode,
)
