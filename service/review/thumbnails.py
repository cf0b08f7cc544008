"""Small pictures for contact sheets: a photograph, and a class map over it."""

import io
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import Contract
from service.domain.classes import palette
from service.domain.segmentation import Segmentation
from service.outputs.output import Output, OutputOptions, OverlapWriting
from service.predict.loaded import LoadedModel

SIDE = 320  # pixels, of the longer one
_QUALITY = 82


@dataclass(frozen=True)
class Thumbnails:
    """JPEGs."""

    picture: bytes
    overlay: bytes


async def thumbnails(model: LoadedModel, body: bytes) -> Thumbnails:
    """Segment a file for them. Raises ServiceError."""
    answer = await model.segment(body, _THUMBNAILS, _Options(), "")
    said = json.loads(answer.encoded.body)
    return Thumbnails(b64decode(said["picture"]), b64decode(said["overlay"]))


def small_picture(image: NDArray[np.uint8]) -> Image.Image:
    """Of pixels (H, W, C), at most `SIDE` a side."""
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return picture.convert("RGB")


def small_overlay(
    picture: Image.Image, class_map: NDArray[np.uint8], contract: Contract
) -> Image.Image:
    """The small picture under the class map (H, W) in the classes' colors."""
    small = Image.fromarray(class_map).resize(picture.size, Image.Resampling.NEAREST)
    colors = Image.fromarray(palette(contract)[np.asarray(small)].astype(np.uint8))
    return Image.blend(picture, colors, 0.5)


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


class _Options(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "top"


def _encode(segmentation: Segmentation, _options: OutputOptions) -> Iterator[bytes]:
    assert segmentation.image is not None  # the output says needs_image
    picture = small_picture(segmentation.image)
    overlay = small_overlay(picture, segmentation.class_map, segmentation.model.contract)
    said = {"picture": jpeg(picture), "overlay": jpeg(overlay)}
    yield json.dumps({name: b64encode(data).decode() for name, data in said.items()}).encode()


_THUMBNAILS = Output(
    "thumbnails",
    "Thumbnails",
    {"application/json": ".json"},
    _Options,
    "",
    _encode,
    needs_image=True,
)
