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
    planes = image[::step, ::step].transpose(2, 0, 1).astype("float32", order="C")
    # sums by plane: over a short last axis numpy takes several times as long
    light = planes[0] if channels == 1 else (planes[0] + planes[1] + planes[2]) / 3
    rows, columns = light.mean(axis=1), light.mean(axis=0)
    mean = float(rows.mean())
    squares = float((light * light).mean())
    nextdoor = image[::step, 1::step].transpose(2, 0, 1).astype("float32", order="C")
    differences = abs(nextdoor - planes[:, :, : nextdoor.shape[2]])
    return {
        "brightness": mean,
        "contrast": math.sqrt(max(0.0, squares - mean * mean)),
        "color": 0.0 if channels == 1 else _color(*planes),
        "vertical": _halves(rows),
        "horizontal": _halves(columns),
        "detail": float(differences.mean()) if differences.size else 0.0,
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


def _color(red: Any, green: Any, blue: Any) -> float:
    """The mean of the largest less the smallest channel, which is half of what three differ by."""
    return float((abs(red - green) + abs(green - blue) + abs(blue - red)).mean()) / 2


def _halves(means: Any) -> float:
    middle = len(means) // 2
    return float(means[:middle].mean() - means[middle:].mean()) if middle else 0.0
