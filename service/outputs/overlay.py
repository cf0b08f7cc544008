"""`overlay`: the picture with the coloured class map over it, for people to look at."""

from collections.abc import Iterator
from io import BytesIO
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from service.domain.classes import bands, palette
from service.domain.errors import AnswerTooLargeError
from service.domain.segmentation import Segmentation
from service.outputs.output import Output, OutputOptions, OverlapWriting
from service.outputs.png import RGB, write_png

_JPEG_QUALITY = 90
_JPEG_MAX_SIDE = 65_500  # libjpeg's JPEG_MAX_DIMENSION


class OverlayOptions(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "top"

    alpha: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Opacity of the class colours: 0 shows the picture alone, 1 the colours alone.",
        examples=[0.5],
    )
    media_type: Literal["image/png", "image/jpeg"] = Field(
        default="image/png",
        description="PNG is exact; JPEG is a fraction of the size.",
        examples=["image/jpeg"],
    )


def encode(segmentation: Segmentation, options: OverlayOptions) -> Iterator[bytes]:
    height, width = segmentation.class_map.shape
    blended = _blend(segmentation, options.alpha)
    if options.media_type == "image/png":
        rows = (band for _, band in blended)
        yield from write_png(height, width, RGB, rows)
        return
    if max(height, width) > _JPEG_MAX_SIDE:
        raise AnswerTooLargeError(
            f"The overlay is {width} × {height} pixels; a JPEG has at most {_JPEG_MAX_SIDE} a "
            "side. "
            "Ask for `media_type=image/png`."
        )
    canvas = Image.new("RGB", (width, height))
    for top, band in blended:
        canvas.paste(Image.fromarray(band), (0, top))
    file = BytesIO()
    canvas.save(file, "JPEG", quality=_JPEG_QUALITY)
    yield file.getvalue()


def _blend(segmentation: Segmentation, alpha: float) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the overlay in bands: the top row's number, and the pixels (n, W, 3)."""
    image, class_map = segmentation.image, segmentation.class_map
    assert image is not None  # the format says needs_image
    weight = round(alpha * 256)
    colors = palette(segmentation.model.contract).astype(np.uint16) * weight
    for rows in bands(*class_map.shape):
        shades = image[rows].astype(np.uint16) * (256 - weight)
        yield rows.start, ((shades + colors[class_map[rows]] + 128) >> 8).astype(np.uint8)


OVERLAY = Output(
    name="overlay",
    title="Overlay",
    extensions={"image/png": ".png", "image/jpeg": ".jpg"},
    options=OverlayOptions,
    description=(
        "The picture under the coloured class map. For the eye; read ids from another format."
    ),
    encode=encode,
    needs_image=True,
)
