"""`confidence`: how sure the model is of each pixel, as a gray PNG."""

from service.pipeline.formats.classes import bands
from service.pipeline.formats.format import Encoded, Format, FormatOptions, Need, Segmentation
from service.pipeline.formats.png import GRAY, MEDIA_TYPE, write_png


class ConfidenceOptions(FormatOptions):
    @property
    def need(self) -> Need:
        return "confidence"


def encode(segmentation: Segmentation, _options: ConfidenceOptions) -> Encoded:
    confidence = segmentation.confidence
    assert confidence is not None  # the options say need
    height, width = confidence.shape
    rows = (confidence[band] for band in bands(height, width))
    return Encoded(write_png(height, width, GRAY, rows), MEDIA_TYPE, ".png")


CONFIDENCE = Format(
    name="confidence",
    media_types=(MEDIA_TYPE,),
    options=ConfidenceOptions,
    description=(
        "8-bit gray PNG: the probability of each pixel's winning class × 255, rounded; 0 where "
        "`classes` left it out."
    ),
    encode=encode,
)
