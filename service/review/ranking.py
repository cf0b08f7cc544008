"""Which pictures to label next: sure ones and repetitions last. Pure arithmetic.

The order is a greedy k-centre (Sener and Savarese 2018, "Active Learning for Convolutional Neural
Networks: A Core-Set Approach") whose distances are weighted: next comes the picture whose distance
to all that is chosen, times 1 + uncertainty + rarity, is the largest. So of ten frames of one scene
the second has to wait, however unsure the model is of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_LIFT = 10.0  # of a class that hardly any picture has


@dataclass(frozen=True)
class Ranked:
    """One picture's place: its number among those that were given, and what put it there.

    `novelty` is the distance to its nearest neighbour among those before it and those labeled, 0 to
    2, None for what was not chosen one by one; `score` is that times the weight.
    """

    index: int
    novelty: float | None
    score: float


def lifts(shares: Floats) -> Floats:
    """How many times its average share each class has of each picture, (N, classes), at most
    `MOST_LIFT`. `shares` (N, classes) sum to 1 in each row.
    """
    if not len(shares):
        return shares
    average = np.maximum(shares.mean(axis=0), np.finfo(np.float64).tiny)
    result: Floats = np.minimum(shares / average, MOST_LIFT)
    return result


def rarity(shares: Floats) -> Floats:
    """How rich each picture is in what others lack, (N,): the mean lift of the classes, 1 for a
    picture like all together.
    """
    result: Floats = lifts(shares).mean(axis=1)
    return result


def percentiles(values: Floats) -> Floats:
    """The place of each among the others, from 0 to 1; equal ones share theirs."""
    if len(values) < 2:
        return np.zeros(len(values))
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    result: Floats = (below + upto - 1) / 2 / (len(values) - 1)
    return result


def rank(
    uncertainty: Floats, shares: Floats, features: Floats, labeled: Floats, count: int
) -> list[Ranked]:
    """All N pictures in the order in which to label them, the first `count` of them one by one.

    `uncertainty` (N,), `shares` (N, classes), `features` (N, D) and `labeled` (M, D) unit vectors.
    The rest follows by weight alone. Takes time by N × D × count.
    """
    if not len(uncertainty):
        return []
    weight = 1 + percentiles(uncertainty) + percentiles(rarity(shares))
    nearest = np.full(len(weight), np.inf)
    for vector in labeled:
        nearest = np.minimum(nearest, _distances(features, vector))
    chosen: list[Ranked] = []
    left = np.ones(len(weight), bool)
    while len(chosen) < min(count, len(weight)):
        novelty = np.minimum(nearest, 2.0)  # before anything is chosen all are as new
        score = np.where(left, novelty * weight, -1.0)
        best = int(score.argmax())
        chosen.append(Ranked(best, float(novelty[best]), float(score[best])))
        left[best] = False
        nearest = np.minimum(nearest, _distances(features, features[best]))
    rest = sorted(np.flatnonzero(left).tolist(), key=lambda index: (-weight[index], index))
    return chosen + [Ranked(index, None, 0.0) for index in rest]


def _distances(features: Floats, vector: Floats) -> Floats:
    """Between unit vectors: 0 for the same, 2 for the opposite."""
    result: Floats = np.sqrt(np.maximum(2 - 2 * (features @ vector), 0))
    return result
