"""How far a picture, and what a model makes of it, lie outside of what it was made on.

A few statistics of the picture as the network sees it and of the answer are compared with how they
lay over the model's own pictures. The distance is that of the statistic that lies furthest out, so
that it can be said which one it is. Of arrays only methods are used, since the contract's package
loads no numpy.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from models.contract.facts import Reference, Spread

_SAMPLES = 4096  # pixels that are looked at, on a regular grid
# A statistic that hardly varied on the model's own pictures is not held to that: the least distance
# from the median that counts as one.
_LEAST: Final = {
    "brightness": 10.0,
    "contrast": 6.0,
    "color": 4.0,
    "vertical": 10.0,
    "horizontal": 10.0,
    "detail": 1.0,
    "confidence": 0.02,
    "class_shift": 0.05,
}
_LEAST_SIDE_SHARE = 0.25  # of the median of long_side
# To be surer than usual, or nearer to the usual classes, is not atypical.
_ONE_SIDED: Final = {"confidence": -1, "class_shift": 1}


class Typicality(NamedTuple):
    """`score` is 0 in the middle of the model's own pictures, and above 1 where a picture is
    atypical: further out than 99 % of those. `reasons` are the statistics that are, the furthest
    first."""

    score: float
    reasons: tuple[str, ...]


def picture_statistics(image: Any) -> dict[str, float]:
    """Of an image (H, W, C) uint8 as the network sees it: mean and standard deviation of its
    brightness, how colourful it is, by how much it is brighter above than below and left than
    right, how much neighbours differ (all in values of 0–255), and its long side in pixels."""
    height, width, channels = image.shape
    step = max(1, math.isqrt(height * width // _SAMPLES))
    # planes of whole numbers: over a short last axis numpy takes several times as long, and so it
    # does for floating point
    planes = image[::step, ::step].transpose(2, 0, 1).astype("int16", order="C")
    light = planes.sum(axis=0, dtype="int16")  # `channels` times as bright
    rows, columns = light.sum(axis=1, dtype="int64"), light.sum(axis=0, dtype="int64")
    flat = light.reshape(-1).astype("float32")
    mean = float(rows.sum()) / light.size / channels
    squares = float(flat @ flat) / light.size / channels**2
    nextdoor = image[::step, 1::step].transpose(2, 0, 1).astype("int16", order="C")
    differences = abs(nextdoor - planes[:, :, : nextdoor.shape[2]])
    color = planes.max(axis=0) - planes.min(axis=0)
    return {
        "brightness": mean,
        "contrast": math.sqrt(max(0.0, squares - mean * mean)),
        "color": float(color.sum(dtype="int64")) / light.size,
        "vertical": _halves(rows) / light.shape[1] / channels,
        "horizontal": _halves(columns) / light.shape[0] / channels,
        "detail": _mean(differences),
        "long_side": float(max(height, width)),
    }


def class_shift(shares: Sequence[float], usual: Sequence[float]) -> float:
    """The part of the pixels that would have to be of other classes for the shares to be usual."""
    return sum(abs(a - b) for a, b in zip(shares, usual, strict=True)) / 2


def distances(statistics: Mapping[str, float], reference: Reference) -> dict[str, float]:
    """Of each statistic that the reference knows: 0 at its median, 1 where its middle 90 % end."""
    found: dict[str, float] = {}
    for name, value in statistics.items():
        spread: Spread | None = getattr(reference, name, None)
        if spread is not None:
            found[name] = _distance(name, value, spread)
    return found


def typicality(statistics: Mapping[str, float], reference: Reference) -> Typicality:
    """How far these statistics, of those in `Reference`, lie outside."""
    limit = reference.limit or 1.0
    furthest = sorted(
        ((distance / limit, name) for name, distance in distances(statistics, reference).items()),
        reverse=True,
    )
    return Typicality(
        score=furthest[0][0] if furthest else 0.0,
        reasons=tuple(name for distance, name in furthest if distance > 1),
    )


def _distance(name: str, value: float, spread: Spread) -> float:
    away = value - spread.p50
    if away * _ONE_SIDED.get(name, away) <= 0:
        return 0.0
    end = spread.p95 - spread.p50 if away > 0 else spread.p50 - spread.p05
    least = _LEAST.get(name, _LEAST_SIDE_SHARE * spread.p50)
    return abs(away) / max(end, least, 1e-6)


def _halves(sums: Any) -> float:
    middle = len(sums) // 2
    return _mean(sums[:middle]) - _mean(sums[middle:]) if middle else 0.0


def _mean(values: Any) -> float:
    return float(values.sum(dtype="int64")) / values.size if values.size else 0.0
