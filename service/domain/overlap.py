"""Classes that overlap: a pixel is of each whose own probability is high enough, and shows the one
on top (`models.contract.Overlap`)."""

import numpy as np
from numpy.typing import NDArray

from models.contract import Overlap


def top_classes(
    probabilities: NDArray[np.float32], overlap: Overlap, kept: frozenset[int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Of probabilities (…, classes) the id (…) of the class on top, among those that are `kept`,
    and its probability (…). Where there is none it is 0, the background."""
    others = [i for i in overlap.priority if kept is None or i in kept]
    ids = np.zeros(probabilities.shape[:-1], np.uint8)
    of_top = probabilities[..., 0].copy()
    for class_id in reversed(others):
        of_class = probabilities[..., class_id]
        there = of_class > overlap.threshold
        ids[there] = class_id
        np.copyto(of_top, of_class, where=there)
    return ids, of_top


def with_background(of_classes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities (…, classes), of those (…, classes - 1) of all but the background before
    them: that is what the likeliest of them lacks."""
    result = np.empty((*of_classes.shape[:-1], of_classes.shape[-1] + 1), np.float32)
    result[..., 1:] = of_classes
    np.subtract(1, of_classes.max(axis=-1), out=result[..., 0])
    return result
