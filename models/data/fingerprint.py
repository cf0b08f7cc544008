"""What of a data set decides how a network is trained on it: sizes, classes, regions, halves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.data.dataset import Dataset, Sample
from models.data.examination import Examination
from models.data.parallel import read_ahead

MAX_MASKS = 60  # masks, at most, for object sizes and symmetry
# classes whose halves differ by more of all pixels have an up or a left
ORIENTATION_THRESHOLD = 0.08
THIN_PIXELS = 5.0  # pixels across; such classes are lost at a coarser resolution
COMMON_SHARE = 0.05  # a class with less of what is not background does not count for its width


@dataclass(frozen=True)
class Fingerprint:
    """What of the data decides. `size` is the median height and width, `object_side` that of a
    typical region in pixels, `thinnest` how wide the regions of the thinnest common class are;
    `up_down` and `left_right` are the shares of pixels by which the classes of opposite halves
    differ."""

    images: int
    size: tuple[int, int]
    channels: int
    class_pixels: NDArray[np.int64]
    object_side: float
    thinnest: float
    up_down: float
    left_right: float


def fingerprint(dataset: Dataset, examination: Examination) -> Fingerprint:
    """Look at the training split: every size and class, and some masks more closely."""
    samples = dataset.split("train")
    sizes = np.array([size for size, n in examination.sizes.items() for _ in range(n)])
    width, height = (int(side) for side in np.median(sizes, axis=0))
    classes = len(dataset.class_list.classes)
    background = dataset.class_list.background or 0
    looked_at = samples[:: -(-len(samples) // MAX_MASKS)]
    sides: list[float] = []
    outlines = np.zeros(classes)
    halves = np.zeros((4, classes))
    for mask in read_ahead(_mask, looked_at):
        sides += _object_sides(mask, background, classes)
        outlines += np.bincount(mask[_outline(mask) & (mask < classes)], minlength=classes)
        middle = np.array(mask.shape) // 2
        for i, half in enumerate(
            (mask[: middle[0]], mask[-middle[0] :], mask[:, : middle[1]], mask[:, -middle[1] :])
        ):
            halves[i] += np.bincount(half[half < classes], minlength=classes)
    shares = halves / np.maximum(halves.sum(axis=1, keepdims=True), 1)
    areas = halves[:2].sum(axis=0)
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
    )


def _mask(sample: Sample) -> NDArray[np.uint8]:
    return sample.read_mask()


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
