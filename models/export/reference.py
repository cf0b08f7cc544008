"""What a model sees and answers on its own data, for its contract's `reference`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract, Reference, Spread
from models.contract.typicality import class_shift, distances, picture_statistics
from models.contract.working_size import ScaleRequest, wanted_ratio, working_size
from models.training.scaled import resized
from models.training.temperature import calibrated

_GRID_PIXELS = 1024  # of an image's probabilities, which are kept until the temperature is known
_LEAST_LIMIT = 1.0  # no picture within the middle 90 % of each statistic is atypical
_LIMIT_PERCENTILE = 99
_PARTS = 4  # of the pictures, in their order: a part may be of a scene that the others do not have


@dataclass(frozen=True)
class _Seen:
    """One picture: its statistics, the classes' shares, and its probabilities on a grid."""

    split: str
    statistics: dict[str, float]
    shares: NDArray[np.float64]
    grid: NDArray[np.float32]


class ReferenceSample:
    """Statistics of pictures of train and val, and probabilities of each on a grid."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._pictures: list[_Seen] = []

    def add(self, split: str, image: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        """Take an image (H, W, C) with its probabilities (H, W, classes)."""
        height, width, classes = probabilities.shape
        step = max(1, math.isqrt(height * width // _GRID_PIXELS))
        grid = probabilities[::step, ::step].reshape(-1, classes).copy()
        ids = grid.argmax(axis=1)
        shares = np.bincount(ids, minlength=classes) / len(ids)
        statistics = picture_statistics(as_seen(image, self._contract))
        self._pictures.append(_Seen(split, statistics, shares, grid))

    def reference(self, temperatures: Sequence[float]) -> Reference:
        """Of at least one image of val; `temperatures` are those its probabilities are served
        with, one a class.

        The limit is found on pictures that are compared with others alone. Within a part the order
        is that of the files, so that the frames of one drive are mostly in one: how far a new drive
        lies from the known ones counts, and not only how far a frame lies from the next.
        """
        own = [_with_confidence(one, temperatures) for one in self._pictures]
        furthest: list[float] = []
        for held_out, others in _parts(own):
            known = _reference(others)
            furthest += [_furthest(one, known) for one in held_out]
        limit = max(_LEAST_LIMIT, float(np.percentile(furthest or [0.0], _LIMIT_PERCENTILE)))
        return _reference(own).model_copy(update={"limit": limit})


def _with_confidence(picture: _Seen, temperatures: Sequence[float]) -> _Seen:
    confidence = float(calibrated(picture.grid, temperatures).max(axis=-1).mean())
    return replace(picture, statistics={**picture.statistics, "confidence": confidence})


def _parts(pictures: Sequence[_Seen]) -> Iterator[tuple[list[_Seen], list[_Seen]]]:
    """Each part of the pictures with all others; the same part of each split is one."""
    splits = list(dict.fromkeys(one.split for one in pictures))
    in_order = [[one for one in pictures if one.split == split] for split in splits]
    for part in range(_PARTS):
        held_out, others = list[_Seen](), list[_Seen]()
        for of_split in in_order:
            start, stop = (len(of_split) * n // _PARTS for n in (part, part + 1))
            held_out += of_split[start:stop]
            others += of_split[:start] + of_split[stop:]
        if held_out and others:
            yield held_out, others


def _reference(pictures: Sequence[_Seen]) -> Reference:
    shares = np.mean([one.shares for one in pictures], axis=0)
    usual = (shares / shares.sum()).tolist()
    names = [name for name in pictures[0].statistics if name != "confidence"]
    spreads = {name: spread([one.statistics[name] for one in pictures]) for name in names}
    return Reference(
        split="+".join(dict.fromkeys(one.split for one in pictures)),
        images=len(pictures),
        class_shares=tuple(usual),
        confidence=_confidences(pictures),
        class_shift=spread([class_shift(one.shares.tolist(), usual) for one in pictures]),
        **spreads,
    )


def _confidences(pictures: Sequence[_Seen]) -> Spread:
    """How sure the model is of val, as it is of what it has not learned from; but where it is less
    sure of pictures that it did learn from, these are no less its own.
    """
    of_train = [one.statistics["confidence"] for one in pictures if one.split == "train"]
    others = [one.statistics["confidence"] for one in pictures if one.split != "train"]
    found = spread(others or of_train)
    low = min(found.p05, spread(of_train).p05) if of_train else found.p05
    return found.model_copy(update={"p05": low})


def _furthest(picture: _Seen, known: Reference) -> float:
    shift = class_shift(picture.shares.tolist(), known.class_shares)
    return max(distances({**picture.statistics, "class_shift": shift}, known).values())


def spread(values: Sequence[float]) -> Spread:
    """How values lie."""
    p05, p50, p95 = np.percentile(values, (5, 50, 95))
    return Spread(mean=float(np.mean(values)), p05=float(p05), p50=float(p50), p95=float(p95))


def as_seen(image: NDArray[np.uint8], contract: Contract) -> NDArray[np.uint8]:
    """An image (H, W, C) at the size at which the network is shown it."""
    height, width = image.shape[:2]
    ratio, exact = wanted_ratio(max(height, width), contract.scale, ScaleRequest.parse("auto"))
    working = working_size(height, width, ratio, (1.0,), exact=exact)
    return image if working is None else resized(image, working.height, working.width)
