"""From the samples of a file to what a model takes: 8 bits, in its channels.

8-bit samples stay as they are; deeper ones keep their upper 8 bits (`value >> 8` of 16, `>> 4` of
12), whatever they contain. Gray becomes three equal channels for an RGB model; color becomes
ITU-R 601 luma for a gray one.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.domain.classes import bands
from service.domain.source import Samples, SampleType, Source, Window

QUARTER_TURNS = range(5, 9)  # EXIF's orientations that swap height and width
# Pillow's own weights, so that training, which reads with Pillow, sees the same gray.
_LUMA = np.array([19595, 38470, 7471], np.uint32)
_LUMA_SHIFT, _LUMA_HALF = 16, 0x8000


def read_image(source: Source, channels: int, scale: float = 1.0) -> NDArray[np.uint8]:
    """Decode to pixels (H, W, `channels`) uint8, upright, with `channels` 3 (RGB) or 1 (gray).

    `scale` is one of the source's `scales`.
    """
    samples = source.read(scale=scale)
    return to_channels(to_8_bits(samples, source.info.significant_bits), channels)


def to_8_bits(samples: Samples, significant_bits: int | None) -> NDArray[np.uint8]:
    """The upper 8 of the `significant_bits` of each sample (H, W, bands)."""
    if samples.dtype == np.uint8:
        return samples.view(np.uint8)
    assert samples.dtype == np.uint16
    deep = samples.view(np.uint16)
    shift = (significant_bits or 8 * samples.itemsize) - 8
    pixels = np.empty(samples.shape, np.uint8)
    for rows in bands(*samples.shape[:2]):
        pixels[rows] = deep[rows] >> shift
    return pixels


def to_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Gray or RGB (H, W, 1 or 3) as gray or RGB."""
    height, width, given = pixels.shape
    if given == channels:
        return pixels
    if given == 1:
        return np.repeat(pixels, channels, axis=2)
    gray = np.empty((height, width, 1), np.uint8)
    for rows in bands(height, width):
        gray[rows, :, 0] = (pixels[rows] @ _LUMA + _LUMA_HALF) >> _LUMA_SHIFT
    return gray


def turn_upright(stored: Samples, orientation: int) -> Samples:
    """The samples (H, W, bands) turned as EXIF's `orientation`, 1 to 8, says."""
    if orientation == 1:
        return stored
    height, width, count = stored.shape
    upright = np.empty((width, height, count) if orientation >= 5 else stored.shape, stored.dtype)
    as_stored(upright, orientation)[...] = stored
    return upright


def assembled(
    rows: Iterator[Samples],
    stored: tuple[int, int, int],
    dtype: SampleType,
    orientation: int,
) -> Samples:
    """The upright picture (H, W, bands) of bands of rows as they are stored: `stored` is the shape
    of all of them.
    """
    height, width, count = stored
    sides = (width, height) if orientation >= 5 else (height, width)
    upright = np.empty((*sides, count), dtype)
    view, top = as_stored(upright, orientation), 0
    for band in rows:
        view[top : top + len(band)] = band
        top += len(band)
    return upright


def cut(upright: Samples, window: Window | None) -> Samples:
    """The part of a picture that is wanted, the whole where it is None."""
    if window is None:
        return upright
    rows = slice(window.top, window.top + window.height)
    return upright[rows, window.left : window.left + window.width]


def as_stored(upright: Samples, orientation: int) -> Samples:
    """A view of an upright picture (H, W, bands) into which the stored rows can be written."""
    flipped, transposed = upright[:, ::-1], upright.swapaxes(0, 1)
    views = {
        1: upright,
        2: flipped,
        3: flipped[::-1],
        4: upright[::-1],
        5: transposed,
        6: flipped.swapaxes(0, 1),
        7: flipped[::-1].swapaxes(0, 1),
        8: upright[::-1].swapaxes(0, 1),
    }
    return views[orientation]


def turned_overhang(stored: tuple[int, int], orientation: int) -> tuple[int, int]:
    """What hangs over at the top and the left once stored rows and columns that hang over at the
    bottom and the right are turned upright.
    """
    down, across = stored
    at = {
        2: (0, across),
        3: (down, across),
        4: (down, 0),
        6: (0, down),
        7: (across, down),
        8: (across, 0),
    }
    return at.get(orientation, (0, 0))
