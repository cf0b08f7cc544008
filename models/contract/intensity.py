"""How samples deeper than 8 bits become 8: the one rule that training and serving share.

A window of two values becomes 0 and 255, what lies between is spread evenly, what lies beyond is
cut off. One window holds for a whole picture and all its bands, and is found before any of it is
cut into tiles:

1. the one that the caller names;
2. else that of the model's contract, where it names one;
3. else all values of the bits that the file says are used (12-bit TIFF, OME's SignificantBits, …),
   or of the sample's type where the file has larger ones: PNG's sBIT is of samples that were
   spread over the whole type;
4. else, where the contract asks for percentiles, the one in which those of the picture's own
   values become what they were in training;
5. else all values of the sample's type.

Floating-point samples have no bits and no values that are all of their type: for them it is 1, 2 or
4, of the exact percentiles, and else they are not read. One that is no number (NaN) or infinite has
no place in any window, so a picture with such is not read either.

Plain Python over a histogram or a few values, since the contract's package loads no numpy.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from models.contract.preprocessing import Intensity, PercentileIntensity, WindowIntensity


class IntensityWindow(NamedTuple):
    """`low` becomes 0 and `high` 255. Both are whole numbers but for floating-point samples."""

    low: float
    high: float

    @property
    def whole(self) -> "IntensityWindow":
        """The window of samples that are whole numbers."""
        low = round(self.low)
        return IntensityWindow(low, max(low + 1, round(self.high)))


def full_window(bits: int) -> IntensityWindow:
    return IntensityWindow(0, (1 << bits) - 1)


def percentile_window(
    counts: Sequence[int], rule: PercentileIntensity, bits: int, bands: int
) -> IntensityWindow:
    """The window of a gray or color picture (1 or 3 `bands`) with `counts[value]` samples of each
    value.

    It is the one in which the rule's percentiles become the rule's values. A flat picture has all
    values of `bits`.
    """
    low, high = percentiles(counts, rule)
    if low >= high:
        return full_window(bits)
    return _spread_by(low, high, rule, bands).whole


def _spread_by(low: float, high: float, rule: PercentileIntensity, bands: int) -> IntensityWindow:
    """The window in which `low` and `high` become what the rule says."""
    dark, bright = rule.gray if bands == 1 else rule.color
    step = (high - low) / (bright - dark)
    black = low - dark * step
    return IntensityWindow(black, black + 255 * step)


def percentiles(counts: Sequence[int], rule: PercentileIntensity) -> tuple[int, int]:
    """The values at which the rule's two shares of all samples are reached."""
    total = sum(counts)
    sums = list(accumulate(counts))
    low = _first_at_least(sums, total * rule.low / 100)
    return low, _first_at_least(sums, total * rule.high / 100)


def model_window(
    counts: Sequence[int],
    bits: int,
    bands: int,
    significant_bits: int | None,
    rule: Intensity | None,
) -> IntensityWindow:
    """Rules 2 to 5 for a picture of `bits` a sample and 1 or 3 `bands`."""
    if isinstance(rule, WindowIntensity):
        return IntensityWindow(rule.low, rule.high).whole
    if significant_bits is not None and significant_bits < bits:
        return full_window(bits if any(counts[1 << significant_bits :]) else significant_bits)
    return full_window(bits) if rule is None else percentile_window(counts, rule, bits, bands)


def percentile_places(count: int, rule: PercentileIntensity) -> tuple[int, int]:
    """Where the rule's percentiles stand among `count` samples in ascending order, from 0."""
    low, high = (max(1, math.ceil(count * share / 100)) for share in (rule.low, rule.high))
    return low - 1, high - 1


def float_window(
    low: float, high: float, bands: int, rule: Intensity | None
) -> IntensityWindow | None:
    """The window of floating-point samples with the percentiles `low` and `high`, by the model's
    rule; None where it has none. A flat picture is black.
    """
    if isinstance(rule, WindowIntensity):
        return IntensityWindow(rule.low, rule.high)
    if rule is None:
        return None
    if not low < high:
        return IntensityWindow(low, math.nextafter(low + 1, math.inf))
    return _spread_by(low, high, rule, bands)


def why_not_spread(not_finite: int, window: IntensityWindow) -> str | None:
    """What keeps floating-point samples from being spread over a window, behind "it" or a file's
    name: `not_finite` of them, or how far it reaches."""
    if not_finite:
        one = "one sample that is" if not_finite == 1 else f"{not_finite:,} samples that are"
        return f"has {one} not a number (NaN) or infinite; give them values"
    if not math.isfinite(window.high - window.low):
        return "has floating-point samples whose range is larger than numbers of 64 bits"
    return None


def spread(values: Any, window: IntensityWindow) -> Any:
    """Floating-point samples of 64 bits within a window, a number or an array of them, as 0.5 to
    255.5, whose whole part is the 8-bit value."""
    low, high = window
    return (values - low) / (high - low) * 255 + 0.5


@lru_cache(maxsize=32)
def lookup_table(window: IntensityWindow, bits: int) -> bytes:
    """The 8-bit value of each value of `bits` bits."""
    low, high = map(int, window)
    size, span = 1 << bits, high - low
    before, behind = max(0, low), max(0, size - 1 - high)
    between = range(before, size - behind)
    spread = bytes(((value - low) * 510 + span) // (2 * span) for value in between)
    return b"\x00" * before + spread + b"\xff" * behind


def _first_at_least(sums: Sequence[int], wanted: float) -> int:
    return next((value for value, reached in enumerate(sums) if reached >= wanted and reached), 0)
