"""The areas that an annotation tool drew on one picture, as its mask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import DatasetError, Issue, upright_size
from models.data.layouts.geometry import Geometry, Size, Stencil
from models.data.layouts.regions import (
    DrawnFromFile,
    beyond_the_picture,
    hidden_regions,
    require_pixels,
    require_rest,
)

# What drawing raises where an entry was not as its tool writes it.
_NOT_DRAWABLE = (ValueError, TypeError, KeyError, IndexError, OverflowError, OSError, SyntaxError)


@dataclass(frozen=True, eq=False)
class Area:
    """One region: its class, its name in sentences, and where it is."""

    class_id: int
    name: str
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class RegionMask(DrawnFromFile):
    """The areas of one picture, drawn in their order: a later one lies on top.

    With `small_on_top` an area of fewer pixels lies on top of a larger one, whatever their order.
    `rest` is the class of pixels that no area covers, None where nothing says it.
    """

    path: Path
    image: Path
    size: Size | None  # None where the file does not say it
    areas: tuple[Area, ...]
    rest: int | None = 0
    small_on_top: bool = False

    def read_with_issues(self) -> tuple[NDArray[np.uint8], tuple[Issue, ...]]:
        size, image = self.size or upright_size(self.image), self.image.name
        boxes = [box for area in self.areas if (box := area.geometry.box(size)) is not None]
        require_pixels(boxes, size, self.path, image)
        areas = self._ordered(size)
        shown = np.zeros((size[1], size[0]), np.int32)  # the area on top, counted from 1; 0: none
        for number, area in enumerate(areas, start=1):
            stencil = self._stencil(area, size)
            shown[stencil.box][stencil.pixels] = number
        require_rest(self.rest, int((shown == 0).sum()), self.path, image)
        classes = np.array([self.rest or 0] + [area.class_id for area in areas], np.uint8)
        ids: NDArray[np.uint8] = classes[shown]
        seen = np.bincount(shown.ravel(), minlength=len(classes))[1:].tolist()
        unseen = [area for area, pixels in zip(areas, seen, strict=True) if not pixels]
        issues = [
            *beyond_the_picture(boxes, size, self.path, image),
            *self._hidden(unseen, size, ids),
        ]
        return ids, tuple(issues)

    def _ordered(self, size: Size) -> list[Area]:
        """The areas, what lies on top last. Raises DatasetError."""
        if not self.small_on_top:
            return list(self.areas)
        pixels = {
            area: int(np.count_nonzero(self._stencil(area, size).pixels)) for area in self.areas
        }
        return sorted(self.areas, key=lambda area: -pixels[area])

    def _stencil(self, area: Area, size: Size) -> Stencil:
        try:
            return area.geometry.stencil(size)
        except _NOT_DRAWABLE as error:
            raise DatasetError(
                f"{self.path}: {area.name} of {self.image.name} cannot be drawn ({error}); draw it "
                "again, or take it out"
            ) from error

    def _hidden(
        self, unseen: Sequence[Area], size: Size, ids: NDArray[np.uint8]
    ) -> Iterator[Issue]:
        """Warnings about areas of no pixel, and about those that others of other classes cover
        whole."""
        empty, covered = [], []
        for area in unseen:
            stencil = self._stencil(area, size)
            below = ids[stencil.box][stencil.pixels]
            if below.size == 0:
                empty.append(area.name)
            elif area.class_id not in below:
                covered.append(area.name)
        image = self.image.name
        why = "smaller" if self.small_on_top else "later"
        yield from hidden_regions(empty, self.path, image, "no pixel of the picture lies in them")
        yield from hidden_regions(
            covered, self.path, image, f"{why} areas of other classes cover them whole"
        )
