"""Boundary F1: how well the outlines lie, which IoU hardly sees.

Source: Csurka, Larlus, Perronnin: "What is a good evaluation measure for semantic segmentation?",
BMVC 2013, section 3; averaged as in SegNet (Badrinarayanan, Kendall, Cipolla 2017, section 4): over
the classes of a mask, then over the images.
"""

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.0075  # of the image's diagonal: 0.75 %, as in both papers

_NO_EDGE = -1


class BoundaryF1:
    """The mean over images of each image's boundary F1."""

    def __init__(self, classes: int, tolerance: float = TOLERANCE) -> None:
        self._classes = classes
        self._tolerance = tolerance
        self._of_images: list[float] = []

    def add(self, mask: NDArray[np.uint8], class_map: NDArray[np.uint8]) -> None:
        """Score one image. One whose mask has no boundary at all is left out."""
        of_classes = boundary_f1(mask, class_map, self._classes, self._tolerance)
        if np.isfinite(of_classes).any():
            self._of_images.append(float(np.nanmean(of_classes)))

    def score(self) -> float:
        """A fraction in [0, 1]; NaN before any image with a boundary."""
        return float(np.mean(self._of_images)) if self._of_images else float("nan")


def boundary_f1(
    mask: NDArray[np.uint8],
    class_map: NDArray[np.uint8],
    classes: int,
    tolerance: float = TOLERANCE,
) -> NDArray[np.float64]:
    """F1 (classes,) of one image's class boundaries; both maps are (H, W), ids beyond the classes
    in `mask` are void.

    A boundary pixel of a class has one of its four neighbours in another class. It is found where
    the other map has a boundary pixel of the same class within `tolerance` of the diagonal:
    precision is the found share of the predicted ones, recall that of the true ones. Neither map
    has boundaries in void or against it. NaN for a class that has no boundary in the mask.
    """
    void = mask >= classes
    truth = _edges(mask, void)
    predicted = _edges(class_map, void)
    offsets = _disc(tolerance * float(np.hypot(*mask.shape)))
    precision, _ = _found_share(predicted, truth, offsets, classes)
    recall, there = _found_share(truth, predicted, offsets, classes)
    f1 = np.zeros(classes)
    np.divide(2 * precision * recall, precision + recall, out=f1, where=precision + recall > 0)
    return np.where(there, f1, np.nan)


def _edges(class_ids: NDArray[np.uint8], void: NDArray[np.bool_]) -> NDArray[np.int16]:
    """The class of each boundary pixel (H, W), `_NO_EDGE` elsewhere."""
    edge = np.zeros(class_ids.shape, np.bool_)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = (class_ids[here] != class_ids[there]) & ~void[here] & ~void[there]
        edge[here] |= differ
        edge[there] |= differ
    return np.where(edge, class_ids.astype(np.int16), np.int16(_NO_EDGE))


def _disc(radius: float) -> NDArray[np.intp]:
    """All whole offsets (n, 2) no longer than `radius`."""
    reach = np.arange(-int(radius), int(radius) + 1)
    offsets = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    return offsets[np.hypot(offsets[:, 0], offsets[:, 1]) <= radius].astype(np.intp)


def _found_share(
    edges: NDArray[np.int16], among: NDArray[np.int16], offsets: NDArray[np.intp], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Of each class's pixels in `edges`, the share with one of the same class near in `among`; and
    whether it has any."""
    rows, columns = np.nonzero(edges != _NO_EDGE)
    labels = edges[rows, columns]
    margin = int(offsets.max())
    around = np.pad(among, margin, constant_values=_NO_EDGE)
    found = np.zeros(len(labels), np.bool_)
    for down, right in offsets + margin:
        found |= around[rows + down, columns + right] == labels
    total = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[found], minlength=classes)
    return hits / np.maximum(total, 1), total > 0
