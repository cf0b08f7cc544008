"""Contact-sheet pictures: an image, its mask in the classes' colours, and the one over the
other."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import SegmentationClass

TILE_SIDE_PIXELS = 224
_OVERLAY_ALPHA = 0.5
_NO_CLASS = (255, 0, 255)  # values that are no class: seen at once


@dataclass(frozen=True)
class Tile:
    """Three pictures side by side as one data URI; `fault` says what is wrong with the sample, if
    anything is."""

    name: str
    uri: str
    fault: str | None = None


def draw_tile(
    name: str,
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None,
    classes: Sequence[SegmentationClass],
    fault: str | None = None,
) -> Tile:
    """Draw an image (H, W, C) and its mask (H, W), which may have another size; without a mask the
    image alone."""
    picture = thumbnail(image)
    strip = [picture]
    if mask is not None:
        colored = colorize_mask(mask, classes)
        shown = thumbnail(colored, nearest=True).resize(picture.size, Image.Resampling.NEAREST)
        strip += [shown, Image.blend(picture, shown, _OVERLAY_ALPHA)]
    return Tile(name, jpeg_data_uri(side_by_side(strip)), fault)


def thumbnail(pixels: NDArray[np.uint8], *, nearest: bool = False) -> Image.Image:
    """An RGB picture of (H, W, C) that fits into a square of TILE_SIDE_PIXELS."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    scale = min(1.0, TILE_SIDE_PIXELS / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    way = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    return picture.resize(size, way, reducing_gap=None if nearest else 2.0).convert("RGB")


def colorize_mask(
    mask: NDArray[np.uint8], classes: Sequence[SegmentationClass]
) -> NDArray[np.uint8]:
    """Class ids (H, W) as RGB (H, W, 3): void white, values of no class magenta."""
    colors = np.full((256, 3), _NO_CLASS, np.uint8)
    colors[255] = 255
    for segmentation_class in classes:
        colors[segmentation_class.id] = segmentation_class.rgb
    return colors[mask]


def side_by_side(pictures: Sequence[Image.Image], gap: int = 4) -> Image.Image:
    """Pictures of one height in a row, on transparent-looking gray."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    row = Image.new("RGB", (width, pictures[0].height), (128, 128, 128))
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + gap
    return row


def jpeg_data_uri(picture: Image.Image) -> str:
    """The picture as a data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=82, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
