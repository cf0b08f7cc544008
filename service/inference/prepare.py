"""From an opened file to what the network sees: decoded at the size that is needed, 8 bits, the
model's channels.
"""

import math
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from models.contract.intensity import (
    IntensityWindow,
    float_window,
    full_window,
    lookup_table,
    model_window,
    percentile_places,
    spread,
    why_not_spread,
)
from models.contract.preprocessing import PercentileIntensity
from models.contract.working_size import ScaleRequest, WorkingSize, wanted_ratio, working_size
from service.domain.classes import bands
from service.domain.errors import InvalidOptionError, UnreadableImageError
from service.domain.requests import IntensityRequest
from service.domain.source import Samples, Source, SourceInfo
from service.inference.resizing import resized, shrunk
from service.inputs.pixels import QUARTER_TURNS, to_channels, turn_upright

_BITS = 16


@dataclass(frozen=True)
class Prepared:
    """A picture of `height` × `width` as the network sees it: `image` (h, w, C) uint8, at the
    `working` size or its own.

    `shown` (H, W, C) is the picture at its own size, where an output shows it. `window` is how deep
    samples became 8 bits, None where they had 8. `valid` (H, W) is where a raster has a picture,
    None for everywhere.
    """

    height: int
    width: int
    image: NDArray[np.uint8]
    working: WorkingSize | None
    shown: NDArray[np.uint8] | None
    window: IntensityWindow | None
    valid: NDArray[np.bool_] | None = None


def plan_size(
    source: Source, contract: Contract, request: ScaleRequest, *, show: bool
) -> WorkingSize | None:
    """At which size the network sees the picture; None for its own. What is to be shown is decoded
    whole.
    """
    size, unit = source.info.pixel_size, source.info.unit
    known = None if size is None or unit is None else (size, unit)
    long_side = max(source.height, source.width)
    ratio, exact = wanted_ratio(long_side, contract.scale, request, known)
    scales = (1.0,) if show else source.scales
    working = working_size(source.height, source.width, ratio, scales, exact=exact)
    if working is None or working.resize:
        return working
    return replace(working, overhang=source.overhang(working.decode_scale))


def plan_array_size(
    image: NDArray[np.uint8], contract: Contract, request: ScaleRequest
) -> WorkingSize | None:
    """As `plan_size`, for pixels (H, W, C) that are decoded and do not know how large one is."""
    height, width = image.shape[:2]
    ratio, exact = wanted_ratio(max(height, width), contract.scale, request)
    return working_size(height, width, ratio, (1.0,), exact=exact)


def seen_at(image: NDArray[np.uint8], working: WorkingSize | None) -> NDArray[np.uint8]:
    """Pixels (H, W, C) as the network sees them. Blocks."""
    if working is None:
        return image
    return resized(image, working.height, working.width, image.shape[:2])


def prepare(
    source: Source,
    contract: Contract,
    working: WorkingSize | None,
    intensity: IntensityRequest,
    *,
    show: bool,
) -> Prepared:
    """Decode `source` for a model. Blocks. Raises UnreadableImageError."""
    if working is not None and is_shrunk_in_rows(source, working, show=show):
        return _shrunk_in_rows(source, contract, working)
    decode_scale = 1.0 if working is None else working.decode_scale
    samples = source.read(scale=decode_scale)
    height, width = source.height, source.width
    if decode_scale == 1 and samples.shape[:2] != (
        height,
        width,
    ):  # turned by what lies behind its pixels
        height, width = width, height
        working = None if working is None else working.turned()
    window = find_window(samples, source.info, contract, intensity)
    if working is not None and not show and shrinks(working):
        rows = (seen_samples(samples[rows], window, contract) for rows in bands(height, width))
        image = shrunk(rows, working.height, working.width, (height, width))
        return Prepared(height, width, image, working, None, window)
    image = seen_samples(samples, window, contract)
    del samples
    shown = image if show else None
    if working is not None and working.resize:
        image = resized(image, working.height, working.width, (height, width))
    return Prepared(height, width, image, working, shown, window)


def is_shrunk_in_rows(source: Source, working: WorkingSize | None, *, show: bool) -> bool:
    """Whether a picture is shrunk while its rows are decoded, so that it is never held as a whole
    but in the decoder. Percentiles of deep samples are those of all of them, so they are held.
    """
    return source.sample_bytes == 1 and not show and shrinks(working)


def shrinks(working: WorkingSize | None) -> bool:
    """Whether what is decoded is shrunk further."""
    return working is not None and working.resize and min(working.factors) >= 1


def _shrunk_in_rows(source: Source, contract: Contract, working: WorkingSize) -> Prepared:
    """In the orientation in which the rows are stored; what is turned is the small picture."""
    scale, height, width = working.decode_scale, source.height, source.width
    stored_rows = source.stored_rows(scale)
    first = next(stored_rows)
    is_turned = source.orientation in QUARTER_TURNS
    stored_width = height if is_turned else width
    if first.shape[1] != math.ceil(stored_width * scale):  # turned by what lies behind its pixels
        height, width, working = width, height, working.turned()
    size, extent = (working.height, working.width), (height * scale, width * scale)
    if is_turned:
        size, extent = size[::-1], extent[::-1]
    rows = (seen_samples(band, None, contract) for band in chain((first,), stored_rows))
    stored = shrunk(rows, *size, extent)
    image = turn_upright(stored, source.orientation).view(np.uint8)
    return Prepared(height, width, image, working, None, None)


def find_window(
    samples: Samples, info: SourceInfo, contract: Contract, request: IntensityRequest
) -> IntensityWindow | None:
    """The window of deep samples (H, W, bands), void left out; None where they have 8 bits."""
    if samples.dtype == np.uint8:
        return None
    if samples.dtype.kind == "f":
        return _find_float_window(samples, info, contract, request)
    if request.window is not None:
        return request.window.whole
    if request.kind == "full":
        return full_window(_BITS)
    counts = np.zeros(1 << _BITS, np.int64)
    for rows in bands(*samples.shape[:2]):
        valid = samples[rows] if info.valid is None else samples[rows][info.valid[rows]]
        counts += np.bincount(valid.reshape(-1), minlength=len(counts))
    bits, rule = info.significant_bits, contract.intensity
    return model_window(counts.tolist(), _BITS, samples.shape[2], bits, rule)


def _find_float_window(
    samples: Samples, info: SourceInfo, contract: Contract, request: IntensityRequest
) -> IntensityWindow:
    """Raises InvalidOptionError where neither the caller nor the model says one, and
    UnreadableImageError where samples have no place in it.
    """
    valid = samples.reshape(-1) if info.valid is None else samples[info.valid].reshape(-1)
    window, rule = request.window, contract.intensity
    if window is None and request.kind == "auto" and valid.size:
        places = (0, 0)
        if isinstance(rule, PercentileIntensity):
            places = percentile_places(valid.size, rule)
        ordered = np.partition(valid, places)
        low, high = (float(ordered[place]) for place in places)
        window = float_window(low, high, samples.shape[2], rule)
    if window is None:
        why = f"{contract.name} has no rule for them"
        if request.kind == "full":
            why = "they have no values that are all of their type"
        raise InvalidOptionError(
            f"The image has floating-point samples, and {why}. Say which two values become black "
            "and white, such as `intensity=0,1`."
        )
    finite = sum(int(np.isfinite(samples[rows]).sum()) for rows in bands(*samples.shape[:2]))
    fault = why_not_spread(samples.size - finite, window)
    if fault is not None:
        raise UnreadableImageError(f"The image {fault}, and send it again.")
    return window


def seen_samples(
    samples: Samples, window: IntensityWindow | None, contract: Contract
) -> NDArray[np.uint8]:
    """Samples (H, W, bands) as 8 bits in the model's channels."""
    return to_channels(_to_8_bits(samples, window), contract.channels)


def _to_8_bits(samples: Samples, window: IntensityWindow | None) -> NDArray[np.uint8]:
    if window is None:
        return samples.view(np.uint8)
    pixels = np.empty(samples.shape, np.uint8)
    if samples.dtype.kind == "f":
        for rows in bands(*samples.shape[:2]):
            within = np.clip(samples[rows].astype(np.float64), *window)
            pixels[rows] = spread(within, window)
        return pixels
    table = np.frombuffer(lookup_table(window, _BITS), np.uint8)
    for rows in bands(*samples.shape[:2]):
        table.take(samples[rows].view(np.uint16), out=pixels[rows])
    return pixels
