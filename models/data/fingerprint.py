"""What of a data set decides how a network is trained on it: sizes, classes, regions, halves."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.data.dataset import Dataset, Sample
from models.data.examination import Examination
from models.data.parallel import read_ahead

MAX_MASKS = 60  # masks, at most, for object sizes
MAX_HALVES = 480  # masks, at most, whose halves are compared
# classes whose halves differ by more of all pixels have an up or a left
ORIENTATION_THRESHOLD = 0.08
# in many pictures less is enough, where chance does not explain it
SURE_IMAGES, SURE_DIFFERENCE, SURE_T = 60, 0.02, 5.0
THIN_PIXELS = 5.0  # pixels across; such classes are lost at a coarser resolution
COMMON_SHARE = 0.05  # a class with less of what is not background does not count for its width


@dataclass(frozen=True)
class Fingerprint:
    """What of the data decides. `size` is the median height and width, `object_side` that of a
    typical region in pixels, `thinnest` how wide the regions of the thinnest common class are;
    `up_down` and `left_right` are the shares of pixels by which the classes of opposite halves
    differ, and `up_down_t` is Student's t of the upper half's share less the lower half's over the
    pictures, of the class where it is largest."""

    images: int
    size: tuple[int, int]
    channels: int
    class_pixels: NDArray[np.int64]
    object_side: float
    thinnest: float
    up_down: float
    left_right: float
    up_down_t: float

    @property
    def has_up(self) -> bool:
        """Whether upper and lower halves hold other classes, by much or by more than chance."""
        by_much = self.up_down > ORIENTATION_THRESHOLD
        is_sure = self.images >= SURE_IMAGES and self.up_down_t >= SURE_T
        return by_much or (is_sure and self.up_down >= SURE_DIFFERENCE)


def fingerprint(dataset: Dataset, examination: Examination) -> Fingerprint:
    """Look at the training split: every size and class, and some masks more closely."""
    samples = dataset.split("train")
    sizes = np.array([size for size, n in examination.sizes.items() for _ in range(n)])
    width, height = (int(side) for side in np.median(sizes, axis=0))
    classes = len(dataset.class_list.classes)
    background = dataset.class_list.background or 0
    compared = samples[:: -(-len(samples) // MAX_HALVES)]
    stride = -(-len(compared) // MAX_MASKS)
    sides: list[float] = []
    outlines, areas = np.zeros(classes), np.zeros(classes)
    halves = np.zeros((len(compared), 4, classes))
    for index, mask in enumerate(read_ahead(_mask, compared)):
        halves[index] = _halves(mask, classes)
        if index % stride == 0:
            sides += _object_sides(mask, background, classes)
            outlines += np.bincount(mask[_outline(mask) & (mask < classes)], minlength=classes)
            areas += halves[index, :2].sum(axis=0)
    shares, of_each = _shares(halves.sum(axis=0)), _shares(halves)
    widths = 2 * areas / np.maximum(outlines, 1)
    if dataset.class_list.background is not None:
        areas[background] = 0
    return Fingerprint(
        images=len(samples),
        size=(height, width),
        channels=dataset.channels,
        class_pixels=examination.class_pixels("train"),
        object_side=float(np.median(sides)) if sides else float(min(height, width)),
        thinnest=float(
            widths[(areas > 0) & (areas >= COMMON_SHARE * areas.sum())].min(initial=np.inf)
        ),
        up_down=float(np.abs(shares[0] - shares[1]).sum() / 2),
        left_right=float(np.abs(shares[2] - shares[3]).sum() / 2),
        up_down_t=_largest_t(of_each[:, 0] - of_each[:, 1]),
    )


def _mask(sample: Sample) -> NDArray[np.uint8]:
    return sample.read_mask()


def _halves(mask: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Pixels of each class (4, classes) in the upper, lower, left and right half."""
    y, x = np.array(mask.shape) // 2
    parts = (mask[:y], mask[-y:], mask[:, :x], mask[:, -x:])
    return np.array([np.bincount(part[part < classes], minlength=classes) for part in parts])


def _shares(pixels: NDArray[np.floating]) -> NDArray[np.floating]:
    """Pixels of each class (..., classes) as shares of their sum; 0 where there are none."""
    shares: NDArray[np.floating] = pixels / np.maximum(pixels.sum(axis=-1, keepdims=True), 1)
    return shares


def _largest_t(differences: NDArray[np.floating]) -> float:
    """The largest |t| of a column (images, classes) against a mean of 0; 0 of fewer than two."""
    if len(differences) < 2:
        return 0.0
    errors = differences.std(axis=0, ddof=1) / math.sqrt(len(differences))
    return float(np.abs(differences.mean(axis=0) / np.maximum(errors, 1e-9)).max())


def _object_sides(mask: NDArray[np.uint8], background: int, classes: int) -> list[float]:
    """The root of each region's area, of those that are more than specks."""
    sides: list[float] = []
    for class_id in range(classes):
        if class_id != background:
            labels, _ = ndimage.label(mask == class_id)
            areas = np.bincount(labels.ravel())[1:]
            sides += np.sqrt(areas[areas >= 16]).tolist()
    return sides


def _outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where one of the four neighbours has another class."""
    outline = np.zeros(mask.shape, bool)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    outline[1:] |= down
    outline[:-1] |= down
    outline[:, 1:] |= right
    outline[:, :-1] |= right
    return outline
