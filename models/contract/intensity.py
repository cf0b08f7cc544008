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

Plain Python over a histogram, since the contract's package loads no numpy.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from models.contract.preprocessing import Intensity, PercentileIntensity, WindowIntensity


class IntensityWindow(NamedTuple):
    """`low` becomes 0 and `high` 255."""

    low: int
    high: int


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
    dark, bright = rule.gray if bands == 1 else rule.color
    step = (high - low) / (bright - dark)
    black = low - dark * step
    return IntensityWindow(round(black), max(round(black) + 1, round(black + 255 * step)))


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
        return IntensityWindow(round(rule.low), round(rule.high))
    if significant_bits is not None and significant_bits < bits:
        return full_window(bits if any(counts[1 << significant_bits :]) else significant_bits)
    return full_window(bits) if rule is None else percentile_window(counts, rule, bits, bands)


@lru_cache(maxsize=32)
def lookup_table(window: IntensityWindow, bits: int) -> bytes:
    """The 8-bit value of each value of `bits` bits."""
    low, high = window
    size, span = 1 << bits, high - low
    before, behind = max(0, low), max(0, size - 1 - high)
    between = range(before, size - behind)
    spread = bytes(((value - low) * 510 + span) // (2 * span) for value in between)
    return b"\x00" * before + spread + b"\xff" * behind


def _first_at_least(sums: Sequence[int], wanted: float) -> int:
    return next((value for value, reached in enumerate(sums) if reached >= wanted and reached), 0)
