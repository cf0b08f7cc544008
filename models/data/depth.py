"""From samples as a file stores them to the 8 bits that a network sees: by the rule of
`models.contract.intensity`, as the service does it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import ExifTags, Image
from rasterio.errors import RasterioError

from models.contract.intensity import (
    IntensityWindow,
    float_window,
    lookup_table,
    model_window,
    percentile_places,
    percentiles,
    spread,
    why_not_spread,
)
from models.contract.preprocessing import Intensity, PercentileIntensity, WindowIntensity
from models.contract.stated_bits import png_bits, png_chunks, png_header

Deep = NDArray[np.uint16 | np.float32 | np.float64]
BITS = 16  # of a deep sample, as it is held
# How pictures are read where their data set says nothing else: percentiles become black and white.
BY_PERCENTILES = PercentileIntensity()
# An image is read alone: what lies beside it counts for nothing.
ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}


By = Literal["the file's bits", "percentiles", "a window of the model", "all values"]


@dataclass(frozen=True)
class Depth:
    """How a picture of more than 8 bits became one of 8.

    `bits` is what a stored sample has; a thousandth of the samples has values below `low`, and one
    above `high`. `window` is what became black and white, found `by` what.
    """

    bits: int
    low: float
    high: float
    window: IntensityWindow
    by: By
    is_floating: bool = False


@dataclass(frozen=True)
class DeepPng:
    """The samples uint16 (H, W, 1 or 3) of a PNG, as stored, and what its header says of them."""

    samples: NDArray[np.uint16]
    significant_bits: int | None
    orientation: int
    is_transparent: bool


def to_8_bits(
    samples: Deep, bits: int, significant_bits: int | None, rule: Intensity | None
) -> tuple[NDArray[np.uint8], Depth]:
    """Deep samples (H, W, 1 or 3) of `bits` as 8-bit ones, by the rule's window of the whole
    picture. Raises ValueError where they are floating-point and no window holds them."""
    depth = depth_of([samples.reshape(-1)], bits, samples.shape[2], significant_bits, rule)
    return in_8_bits(samples, depth), depth


def depth_of(
    parts: Iterable[Deep],
    bits: int,
    bands: int,
    significant_bits: int | None,
    rule: Intensity | None,
) -> Depth:
    """How deep samples of `bits`, here all of a picture of 1 or 3 `bands` in parts (n,), become 8
    bits. Raises ValueError where they are floating-point and no window holds them."""
    first, *others = parts
    if first.dtype.kind == "f":
        return _depth_of_floats(np.concatenate((first, *others)), bits, bands, rule)
    counts = np.zeros(1 << BITS, np.int64)
    for part in (first, *others):
        counts += np.bincount(part, minlength=1 << BITS)
    held = counts.tolist()
    window = model_window(held, BITS, bands, significant_bits, rule)
    by_shares = rule if isinstance(rule, PercentileIntensity) else BY_PERCENTILES
    return Depth(bits, *percentiles(held, by_shares), window, _by(significant_bits, rule))


def in_8_bits(samples: Deep, depth: Depth) -> NDArray[np.uint8]:
    """Deep samples of any shape by the window of their picture."""
    if not depth.is_floating:
        table = np.frombuffer(lookup_table(depth.window, BITS), np.uint8)
        return np.asarray(table[samples])
    within = np.clip(samples.astype(np.float64), *depth.window)
    return np.asarray(spread(within, depth.window).astype(np.uint8))


def _depth_of_floats(samples: Deep, bits: int, bands: int, rule: Intensity | None) -> Depth:
    by_shares = rule if isinstance(rule, PercentileIntensity) else BY_PERCENTILES
    places = percentile_places(samples.size, by_shares)
    ordered = np.partition(samples, places)
    low, high = (float(ordered[place]) for place in places)
    window = float_window(low, high, bands, rule)
    if window is None:
        raise ValueError("it has floating-point samples, for which the model has no rule")
    fault = why_not_spread(int(samples.size - np.isfinite(samples).sum()), window)
    if fault is not None:
        raise ValueError(f"it {fault}")
    return Depth(bits, low, high, window, _by(None, rule), is_floating=True)


def _by(significant_bits: int | None, rule: Intensity | None) -> By:
    if isinstance(rule, WindowIntensity):
        return "a window of the model"
    if significant_bits is not None and significant_bits < BITS:
        return "the file's bits"
    return "percentiles" if rule else "all values"


def read_deep_png(path: Path) -> DeepPng | None:
    """A PNG of 16 bits, of which Pillow gives the upper 8 where it is in colour; None for another
    file.

    Raises ValueError where its pixels do not decode, or where it is an animation.
    """
    with path.open("rb") as file:
        head = file.read(33)
        if not is_deep_png(head):
            return None
        data = head + file.read()
    header = png_header(data)
    assert header is not None  # it has bits
    with Image.open(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise ValueError("it is an animation of 16 bits a channel")
    try:
        with rasterio.Env(**ALONE), rasterio.open(path, driver="PNG") as dataset:
            stored = np.moveaxis(dataset.read(), 0, -1)
    except RasterioError as error:
        raise ValueError(f"its pixels do not decode: {error}") from error
    samples, alpha = stored[..., : header.color_samples], stored[..., header.color_samples :]
    is_transparent = bool(alpha.size) and bool(alpha.min() < (1 << BITS) - 1)
    return DeepPng(samples, png_bits(data), _png_orientation(data), is_transparent)


def is_deep_png(head: bytes) -> bool:
    """Whether these are the first bytes of a PNG with 16 bits a sample."""
    header = png_header(head) if head.startswith(b"\x89PNG\r\n\x1a\n") else None
    return header is not None and header.bits == BITS and header.color_samples > 0


def is_deep_gray_png(head: bytes) -> bool:
    """Whether it has one channel of brightness, with alpha or without; Pillow calls both colour."""
    header = png_header(head) if is_deep_png(head) else None
    return header is not None and header.color_samples == 1


def _png_orientation(data: bytes) -> int:
    """By its EXIF chunk. As viewers do, a damaged one is passed over."""
    for kind, start, size in png_chunks(data):
        if kind == b"eXIf":
            exif: Any = Image.Exif()
            try:
                exif.load(data[start : start + size])
                return int(exif.get(ExifTags.Base.Orientation, 1))
            except Exception:  # noqa: BLE001  damaged blocks make Pillow raise nearly anything
                return 1
    return 1
