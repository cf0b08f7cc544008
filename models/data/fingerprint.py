"""What of a data set decides how a network is trained on it: sizes, classes, regions, halves."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from models.data.dataset import Dataset, Sample
from models.data.examination import Examination
from models.data.parallel import read_ahead

MAX_MASKS = 60  # masks, at most, for object sizes
# classes whose halves differ by more of all pixels have an up or a left
ORIENTATION_THRESHOLD = 0.08
# in many pictures less is enough, where chance does not explain it
SURE_IMAGES, SURE_DIFFERENCE, SURE_T = 60, 0.02, 5.0
LEAST_PICTURES = 20  # with objects, to tell how those grow
LEAST_GROWTH = 0.5  # 0 is of objects alike in pixels, 1 of objects alike in shares of the picture
THIN_PIXELS = 5.0  # pixels across; such classes are lost at a coarser resolution
COMMON_SHARE = 0.05  # a class with less of what is not background does not count for its width


@dataclass(frozen=True)
class Fingerprint:
    """What of the data decides. `size` is the median height and width, `object_side` that of a
    typical region in pixels, `thinnest` how wide the regions of the thinnest common class are;
    `up_down`, `left_right` and `up_down_t` are those of `models.data.halves`. Regions are as large
    as the `growth`-th power of a picture's long side, by least squares with this standard error."""

    images: int
    size: tuple[int, int]
    channels: int
    class_pixels: NDArray[np.int64]
    object_side: float
    thinnest: float
    up_down: float
    left_right: float
    up_down_t: float
    growth: float = 0.0
    growth_error: float = math.inf

    @property
    def grows_with_picture(self) -> bool:
        """Whether a larger picture shows larger objects, and not more of them."""
        return self.growth >= LEAST_GROWTH and self.growth > 2 * self.growth_error

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
    sides: list[float] = []
    typical: list[tuple[int, float]] = []
    outlines, areas = np.zeros(classes), np.zeros(classes)
    for mask in read_ahead(_mask, samples[:: -(-len(samples) // MAX_MASKS)]):
        own = _object_sides(mask, background, classes)
        sides += own
        if own:
            typical.append((max(mask.shape), float(np.median(own))))
        outlines += np.bincount(mask[_outline(mask) & (mask < classes)], minlength=classes)
        areas += np.bincount(mask[mask < classes], minlength=classes)
    halves = examination.halves["train"]
    widths = 2 * areas / np.maximum(outlines, 1)
    if dataset.class_list.background is not None:
        areas[background] = 0
    growth, growth_error = _growth(typical)
    return Fingerprint(
        images=len(samples),
        size=(height, width),
        channels=dataset.channels,
        class_pixels=examination.class_pixels("train"),
        object_side=float(np.median(sides)) if sides else float(min(height, width)),
        thinnest=float(
            widths[(areas > 0) & (areas >= COMMON_SHARE * areas.sum())].min(initial=np.inf)
        ),
        up_down=halves.up_down,
        left_right=halves.left_right,
        up_down_t=halves.up_down_t,
        growth=growth,
        growth_error=growth_error,
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


def _growth(typical: list[tuple[int, float]]) -> tuple[float, float]:
    """The slope of the objects' sides over the pictures' long sides, both as logarithms, and its
    standard error."""
    long_sides, sides = np.log(np.array(typical, float).reshape(-1, 2)).T
    if len(sides) < LEAST_PICTURES or np.ptp(long_sides) < np.log(1.25):
        return 0.0, math.inf
    fit = stats.linregress(long_sides, sides)
    return float(fit.slope), float(fit.stderr)


def _outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where one of the four neighbours has another class."""
    outline = np.zeros(mask.shape, bool)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    outline[1:] |= down
    outline[:-1] |= down
    outline[:, 1:] |= right
    outline[:, :-1] |= right
    return outline
