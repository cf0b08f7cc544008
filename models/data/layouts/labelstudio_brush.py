"""Label Studio's masks: run lengths packed bit by bit, and PNGs in a data URL.

The run lengths are those of @thi.ng/rle-pack over the picture's RGBA bytes, row by row. A pixel is
of the region where its alpha is 128 or more: the browser paints with soft edges, and half of an
edge's pixels are nearer to the outside.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data.layouts.geometry import Size

_HALF = 128
_CHANNELS = 4
_HEADER_BITS = 32 + 5 + 4 * 4
_WORD_BITS = 8
_URL_START = "data:image/png;base64,"


def decode_brush(rle: Sequence[int], size: Size) -> NDArray[np.bool_]:
    """The region's pixels bool (H, W). Raises ValueError where the run lengths are none, or not of
    a picture of that size."""
    width, height = size
    packed = bytes(rle)  # ValueError and TypeError where these are no bytes
    bits = _Bits(packed)
    count = bits.read(32)
    if count != width * height * _CHANNELS:
        raise ValueError(
            f"its run lengths are of {count} values, and {width}×{height} pixels have "
            f"{width * height * _CHANNELS}"
        )
    word = bits.read(5) + 1
    if word != _WORD_BITS:
        raise ValueError(f"its run lengths are of words of {word} bits, not of {_WORD_BITS}")
    fields = [bits.read(4) + 1 for _ in range(4)]
    values = np.empty(count, np.uint8)
    done = 0
    while done < count:
        repeats = bits.read(1)
        end = done + 1 + bits.read(fields[bits.read(2)])
        if end > count:
            raise ValueError("its run lengths go beyond the picture")
        values[done:end] = bits.read(_WORD_BITS) if repeats else bits.read_words(end - done)
        done = end
    return values.reshape(height, width, _CHANNELS)[..., 3] >= _HALF


class _Bits:
    """Reads bits, the highest of each byte first. Raises ValueError where they end."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._place = 0

    def read(self, bits: int) -> int:
        first, skipped = divmod(self._place, 8)
        self._place += bits
        last = (self._place + 7) // 8
        if last > len(self._packed):
            raise ValueError("its run lengths end before the picture does")
        held = int.from_bytes(self._packed[first:last])
        return held >> (8 * (last - first) - skipped - bits) & (1 << bits) - 1

    def read_words(self, count: int) -> NDArray[np.uint8]:
        """So many words of 8 bits."""
        first, skipped = divmod(self._place, 8)
        self._place += count * _WORD_BITS
        last = (self._place + 7) // 8
        if last > len(self._packed):
            raise ValueError("its run lengths end before the picture does")
        held = np.frombuffer(self._packed[first:last], np.uint8)
        if skipped == 0:
            return held
        return (held[:-1] << skipped | held[1:] >> (8 - skipped)).astype(np.uint8)


def decode_bitmask(url: str, size: Size) -> NDArray[np.bool_]:
    """The region's pixels bool (H, W): what is not transparent in a PNG of the picture's size.
    Raises ValueError and OSError."""
    if not url.startswith(_URL_START):
        raise ValueError("its imageDataURL is not a PNG")
    with Image.open(io.BytesIO(base64.b64decode(url[len(_URL_START) :], validate=True))) as png:
        if png.size != size:
            raise ValueError(
                f"its PNG is {png.width}×{png.height} pixels and the picture {size[0]}×{size[1]}"
            )
        return np.asarray(png.convert("RGBA").getchannel("A")) >= _HALF
