"""A raster as the network sees it: 8 bits, the model's channels, voids filled, at the size at which
it knows its objects. A part of it is the same whichever tile asks for it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from models.contract.intensity import (
    IntensityWindow,
    float_window,
    full_window,
    model_window,
    percentile_places,
)
from models.contract.preprocessing import FrameScale, PercentileIntensity, Unit
from models.contract.probing import floating_step, looked_at, probes
from models.contract.working_size import ScaleRequest, WorkingSize, wanted_ratio, working_size
from service.domain.errors import InvalidOptionError
from service.domain.requests import IntensityRequest
from service.domain.source import Samples, SourceInfo, Window
from service.inference.prepare import seen_samples
from service.inference.resizing import area_means
from service.inference.voids import CONTEXT, fill_voids
from service.inputs.raster import Raster
from service.inputs.row_reader import RowReader

_BITS = 16
_KEPT = 96  # samples of a part of a deep raster that its mean color is of
_BAND_PIXELS = 2**22


@dataclass(frozen=True)
class Tone:
    """What is found once for all of a raster: how deep samples become 8 bits (None: they have 8),
    and the mean color (C,) of the valid pixels that are looked at, as the network sees it, once
    there is a void to fill.
    """

    window: IntensityWindow | None
    find_mean: Callable[[], NDArray[np.uint8]]

    @cached_property
    def mean(self) -> NDArray[np.uint8]:
        """Raises UnreadableImageError."""
        return self.find_mean()


class Placed(Protocol):
    """A raster's size, and what it knows of itself."""

    height: int
    width: int
    info: SourceInfo


def find_working_size(
    raster: Placed, contract: Contract, request: ScaleRequest
) -> tuple[WorkingSize | None, str | None]:
    """At which size the network sees the raster, None for its own; and what to know of that.

    A model of scenes that fill a picture (`FrameScale`) says nothing of maps, which have no frame.
    Raises InvalidOptionError where it is to be enlarged.
    """
    size = raster.info.pixel_size
    scale, note = contract.scale, None
    if request.kind == "auto" and isinstance(scale, FrameScale):
        scale = None
        note = (
            f"{contract.name} was trained on pictures whose scene fills the frame and knows no "
            "ground resolution, so it sees the raster's pixels as they are; `scale` says otherwise."
        )
    known: tuple[float, Unit] | None = None if size is None else (size, "m")
    ratio, exact = wanted_ratio(max(raster.height, raster.width), scale, request, known)
    if ratio > 1:
        raise InvalidOptionError(
            f"A raster is not enlarged, and {ratio:.4g} times its size was asked for. Ask for a "
            "`scale` of at most 1."
        )
    return working_size(raster.height, raster.width, ratio, (1.0,), exact=exact), note


def find_tone(raster: Raster, contract: Contract, request: IntensityRequest) -> Tone:
    """By one rule for the file, void left out. Of 8 bits nothing is read until the mean is wanted,
    for which the raster has to be open. Raises InvalidOptionError and UnreadableImageError.
    """
    if raster.dtype == np.uint8:
        return Tone(None, lambda: _mean_color(_probed(raster), None, contract))
    counts = np.zeros(1 << _BITS, np.int64)
    kept: list[Samples] = []
    values: list[Samples] = []
    height, width, bands = raster.height, raster.width, raster.bands
    is_floating = raster.dtype.kind == "f"
    for window in map(Window._make, looked_at(height, width)):
        chosen = _chosen(raster, window)
        if is_floating:
            values.append(chosen.reshape(-1)[:: floating_step(height, width, bands)])
        else:
            counts += np.bincount(chosen.reshape(-1), minlength=len(counts))
        kept.append(chosen[:: max(1, len(chosen) // _KEPT)])
    if is_floating:
        found = _float_window(np.concatenate(values), bands, contract, request)
    else:
        found = _whole_window(counts, raster, contract, request)
    return Tone(found, lambda: _mean_color(np.concatenate(kept), found, contract))


def _chosen(raster: Raster, window: Window) -> Samples:
    """The samples (n, bands) of its valid pixels."""
    samples, valid = raster.look(window)
    chosen: Samples = samples.reshape(-1, raster.bands) if valid is None else samples[valid]
    return chosen


def _probed(raster: Raster) -> Samples:
    """Samples (n, bands) of a net of small parts."""
    parts = map(Window._make, probes(raster.height, raster.width))
    return np.concatenate([_chosen(raster, part) for part in parts])


def _mean_color(
    sample: Samples, window: IntensityWindow | None, contract: Contract
) -> NDArray[np.uint8]:
    """Of samples (n, bands), as the network sees them."""
    if not len(sample):
        return np.full(contract.channels, 128, np.uint8)
    seen = seen_samples(sample[np.newaxis], window, contract)[0]
    return np.asarray(np.rint(seen.mean(axis=0)).astype(np.uint8))


def _whole_window(
    counts: NDArray[np.int64], raster: Raster, contract: Contract, request: IntensityRequest
) -> IntensityWindow:
    if request.window is not None:
        return request.window.whole
    if request.kind == "full":
        return full_window(_BITS)
    bits, rule = raster.info.significant_bits, contract.intensity
    return model_window(counts.tolist(), _BITS, raster.bands, bits, rule)


def _float_window(
    sample: Samples, bands: int, contract: Contract, request: IntensityRequest
) -> IntensityWindow:
    if request.window is not None:
        return request.window
    rule, window = contract.intensity, None
    if request.kind == "auto" and sample.size:
        places = (0, 0)
        if isinstance(rule, PercentileIntensity):
            places = percentile_places(sample.size, rule)
        ordered = np.partition(sample, places)
        low, high = (float(ordered[place]) for place in places)
        window = float_window(low, high, bands, rule)
    if window is None:
        why = f"{contract.name} has no rule for them, or none of them is valid"
        if request.kind == "full":
            why = "they have no values that are all of their type"
        raise InvalidOptionError(
            f"The raster has floating-point samples, and {why}. Say which two values become black "
            "and white, such as `intensity=0,1`."
        )
    return window


class View:
    """Of one raster, for one thread at a time. `height` and `width` are what the network sees."""

    def __init__(
        self, raster: Raster, contract: Contract, tone: Tone, working: WorkingSize | None
    ) -> None:
        self._raster, self._contract, self._tone = raster, contract, tone
        self._working = working
        self._reader = RowReader(raster, CONTEXT)
        self._last: tuple[Window, NDArray[np.bool_] | None] = (Window(0, 0, 0, 0), None)
        self._held: tuple[Window, Samples] | None = None
        self.height = raster.height if working is None else working.height
        self.width = raster.width if working is None else working.width

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Pixels (h, w, C) of a part of what the network sees. Raises UnreadableImageError."""
        if self._working is None:
            return self._filled(window)
        down, across = self._working.factors
        pixels = np.empty((window.height, window.width, self._contract.channels), np.uint8)
        columns = _covering(window.left, window.left + window.width, across, self._raster.width)
        at_once = max(1, int(_BAND_PIXELS / (columns[1] * down)))
        for top in range(0, window.height, at_once):
            bottom = min(top + at_once, window.height)
            rows = _covering(window.top + top, window.top + bottom, down, self._raster.height)
            part = self._filled(Window(rows[0], columns[0], rows[1], columns[1]))
            box = (
                window.left * across - columns[0],
                (window.top + top) * down - rows[0],
                min((window.left + window.width) * across - columns[0], columns[1]),
                min((window.top + bottom) * down - rows[0], rows[1]),
            )
            pixels[top:bottom] = area_means(part, bottom - top, window.width, box)
        return pixels

    def look_ahead(self, window: Window) -> None:
        """Read once what `read` takes of the raster for this window, and where that is valid. The
        next `read`, of all or a part of it, uses it up.
        """
        self._held = None  # not both at once
        if self._working is None and self._raster.has_void:
            around = self._around(window)
            samples, valid = self._reader.look(around)
            self._last, self._held = (around, valid), (around, samples)

    def valid(self, window: Window) -> NDArray[np.bool_] | None:
        """Where (h, w) of the raster's own pixels there is a picture; None for everywhere. A part
        of what was asked for last is not read again.
        """
        last, held = self._last
        if not _holds(last, window):
            held = self._reader.valid(window)
            self._last, last = (window, held), window
        if held is None:
            return None
        part = held[last.slices_of(window)]
        return None if part.all() else part

    def stored(self, window: Window) -> Window | None:
        """The part of a window of the raster's own pixels beyond which all is known to be void
        without reading it; None where all of it is.
        """
        return self._raster.stored(window)

    def _filled(self, window: Window) -> NDArray[np.uint8]:
        """Pixels of the raster's own, with no void among them."""
        if self.valid(window) is None:
            return self._seen(window)
        around = self._around(window)
        valid = self.valid(around)
        if valid is None or not valid.any():
            pixels = np.empty((*window[2:], self._contract.channels), np.uint8)
            pixels[...] = self._tone.mean
            return pixels
        is_own = self._held is not None and _holds(self._held[0], around)
        pixels = self._seen(around)
        if not is_own or not pixels.flags.writeable:
            pixels = np.array(pixels)
        self._held = None  # it may be filled itself
        fill_voids(pixels, valid, self._tone.mean)
        return pixels[around.slices_of(window)]

    def _around(self, window: Window) -> Window:
        """With all that what stands in for its voids depends on."""
        top, left = max(0, window.top - CONTEXT), max(0, window.left - CONTEXT)
        bottom = min(window.top + window.height + CONTEXT, self._raster.height)
        right = min(window.left + window.width + CONTEXT, self._raster.width)
        return Window(top, left, bottom - top, right - left)

    def _seen(self, window: Window) -> NDArray[np.uint8]:
        if self._held is not None and _holds(self._held[0], window):
            samples = self._held[1][self._held[0].slices_of(window)]
        else:
            samples = self._reader.read(window)
        if samples.dtype.kind == "f":
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        return seen_samples(samples, self._tone.window, self._contract)


def _holds(outer: Window, window: Window) -> bool:
    top, left = window.top - outer.top, window.left - outer.left
    return (
        min(top, left) >= 0
        and top + window.height <= outer.height
        and left + window.width <= outer.width
    )


def _covering(start: int, stop: int, factor: float, length: int) -> tuple[int, int]:
    """The first pixel, and how many, of what working pixels `start` to `stop` are made of."""
    first = min(math.floor(start * factor), length - 1)
    return first, min(length, math.ceil(stop * factor)) - first
