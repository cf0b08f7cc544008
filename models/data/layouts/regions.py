"""Masks that are drawn from regions, and several masks of one picture."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import DatasetError, Issue, MaskSource
from models.data.mask_files import are_versions

OUTSIDE = "regions outside the picture"
EDGE_PIXELS = 2  # tools let a corner slip so far beyond the edge
_MOSTLY = 0.8  # of a region's box

Box = tuple[float, float, float, float]  # left, top, right, bottom


class DrawnFromFile(ABC):
    """A mask that the regions of one file are drawn into."""

    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def read(self) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W). Raises DatasetError."""
        return self.read_with_issues()[0]

    @abstractmethod
    def read_with_issues(self) -> tuple[NDArray[np.uint8], tuple[Issue, ...]]:
        """As `read`, and warnings about regions that are cut off or not to be seen."""


@dataclass(frozen=True, eq=False)
class MergedMask:
    """Several masks of one picture: merged where they do not overlap. `rest` is the class of what
    none of them draws."""

    parts: tuple[MaskSource, ...]
    rest: int | None

    @property
    def path(self) -> Path:
        return self.parts[0].path

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for part in self.parts for file in part.files)

    def read(self) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W). Raises DatasetError where the parts say different classes of
        a pixel."""
        return self.read_with_issues()[0]

    def read_with_issues(self) -> tuple[NDArray[np.uint8], tuple[Issue, ...]]:
        """As `read`, with the parts' issues."""
        first, *others = self.parts
        ids, found = first.read_with_issues()
        issues = [*found]
        for other in others:
            added, found = other.read_with_issues()
            issues += found
            if added.shape != ids.shape:
                raise DatasetError(f"{self._both(other)} and state other sizes; fix one of them")
            drawn = ids != self.rest, added != self.rest
            both = drawn[0] & drawn[1]
            if are_versions(int((both & (ids == added)).sum()), *drawn):
                raise DatasetError(
                    f"{self._both(other)} and draw most of the same pixels and not all, as two "
                    "versions of one mask do; leave the one that is right"
                )
            overlap = int((both & (ids != added)).sum())
            if overlap:
                raise DatasetError(
                    f"{self._both(other)} and say different classes of {overlap} pixels; leave one "
                    "of them, or make their regions meet and not overlap"
                )
            ids = np.where(ids == self.rest, added, ids)
        return ids, tuple(issues)

    def _both(self, other: MaskSource) -> str:
        return f"{self.path} and {other.path} are of one picture"


def require_pixels(boxes: Sequence[Box], size: tuple[int, int], path: Path, image: str) -> None:
    """Raise DatasetError where the coordinates of all regions of a picture go from 0 to 1: they are
    shares of its size."""
    if boxes and max(size) > 2 and all(min(box) >= 0 and max(box) <= 1 for box in boxes):
        raise DatasetError(
            f"{path}: all coordinates of {image} lie between 0 and 1, as shares of the picture's "
            "size; they are to be pixels: export again without normalising them"
        )


def beyond_the_picture(
    boxes: Sequence[Box], size: tuple[int, int], path: Path, image: str
) -> Iterator[Issue]:
    """A warning where regions reach beyond their picture; what is there is cut off."""
    width, height = size
    slip = EDGE_PIXELS
    over = [
        box
        for box in boxes
        if min(box[:2]) < -slip or box[2] > width + slip or box[3] > height + slip
    ]
    if not over:
        return
    outside = sum(_share_outside(box, size) > _MOSTLY for box in over)
    right, bottom = max(box[2] for box in over), max(box[3] for box in over)
    text = (
        f"{path}: {len(over)} of {len(boxes)} regions of {image} reach beyond the picture, to "
        f"{right:.0f}×{bottom:.0f} of {width}×{height}, and are cut off there; where it was made "
        "smaller after labelling, export again"
    )
    is_most = 2 * outside > len(boxes)
    yield Issue("warning", OUTSIDE if is_most else "regions beyond the picture", text)


def require_rest(rest: int | None, pixels: int, path: Path, image: str) -> None:
    """Raise DatasetError where no region covers some pixels, and no class is that of what is not
    drawn."""
    if rest is None and pixels:
        raise DatasetError(
            f"{path}: no region covers {pixels} pixels of {image}, and the first class of "
            "classes.json is drawn itself, so that they may be of it or of nothing; put a class "
            "called background into classes.json"
        )


def hidden_regions(names: Sequence[str], path: Path, image: str, why: str) -> Iterator[Issue]:
    """A warning where regions are not to be seen in their mask."""
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        text = f"{path}: {', '.join(names[:3])}{more} of {image}: {why}"
        yield Issue("warning", "regions without a pixel", text)


def _share_outside(box: Box, size: tuple[int, int]) -> float:
    """How much of a box lies outside the picture."""
    left, top, right, bottom = box
    area = max(right - left, 1e-9) * max(bottom - top, 1e-9)
    inside = max(min(right, size[0]) - max(left, 0), 0) * max(min(bottom, size[1]) - max(top, 0), 0)
    return 1 - inside / area
