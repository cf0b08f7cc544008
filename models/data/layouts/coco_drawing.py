"""COCO's regions as masks: polygons, and run lengths of zeros and ones in turn down the columns, as
numbers or as its compressed text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from models.data.dataset import DatasetError, Issue
from models.data.layouts.geometry import require_finite
from models.data.layouts.regions import (
    Box,
    DrawnFromFile,
    beyond_the_picture,
    hidden_regions,
    require_pixels,
    require_rest,
)

_LONGEST_OUTLINE = 2**23  # pixels
# why a region is not to be seen
_UNDER_SMALLER = "smaller regions of other classes cover them whole"
_UNDER_SINGLE = (
    "regions of other classes cover them whole, since they say iscrowd = 1 and crowds lie below; "
    "some tools say so of what has a hole: say 0 where each is one object"
)
_FIRST_CHARACTER = 48
_MORE, _BITS, _SIGN = 0x20, 5, 0x10


@dataclass(frozen=True)
class Region:
    """One annotation: its class, its name in sentences, and its segmentation as COCO has it
    (polygons, or run lengths)."""

    class_id: int
    name: str
    segmentation: Any
    is_crowd: bool

    @property
    def boxes(self) -> list[Box]:
        """The box of each polygon; none of run lengths, which cannot reach beyond the picture."""
        if isinstance(self.segmentation, dict):
            return []
        points = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in self.segmentation]
        return [(*p.min(axis=0).tolist(), *p.max(axis=0).tolist()) for p in points]


@dataclass(frozen=True, eq=False)
class CocoMask(DrawnFromFile):
    """The regions of one image, drawn by pycocotools.

    Where regions overlap the one of fewer pixels is on top, so that a cup is seen on its table;
    crowds lie below all. What an annotation states as its area is not asked: tools write the box's
    there, or nothing. `rest` is the class of pixels that no region covers, None where nothing says
    it.
    """

    path: Path
    image_name: str
    height: int
    width: int
    regions: tuple[Region, ...]
    rest: int | None = 0

    def read_with_issues(self) -> tuple[NDArray[np.uint8], tuple[Issue, ...]]:
        boxes = [box for region in self.regions for box in self._drawable(region, _boxes)]
        size = (self.width, self.height)
        require_pixels(boxes, size, self.path, self.image_name)
        codes = [self._drawable(region, self._encoded) for region in self.regions]
        areas = [int(coco_mask.area(code)) for code in codes]
        order = sorted(range(len(codes)), key=lambda i: (not self.regions[i].is_crowd, -areas[i]))
        shown = np.full((self.height, self.width), -1, np.int32)  # the region that is on top
        for index in order:
            stencil = coco_mask.decode(codes[index]).astype(bool)
            self._require_order(index, shown, stencil, areas)
            shown[stencil] = index
        require_rest(self.rest, int((shown < 0).sum()), self.path, self.image_name)
        classes = np.array(
            [region.class_id for region in self.regions] + [self.rest or 0], np.uint8
        )
        issues = [
            *beyond_the_picture(boxes, size, self.path, self.image_name),
            *self._hidden(shown, classes, codes, areas),
        ]
        ids: NDArray[np.uint8] = classes[shown]  # -1 is the last, the rest
        return ids, tuple(issues)

    def _require_order(
        self, index: int, shown: NDArray[np.int32], stencil: NDArray[np.bool_], areas: Sequence[int]
    ) -> None:
        """Raise DatasetError where a region lies on one of the same size and another class, so that
        either may be on top."""
        region = self.regions[index]
        if areas.count(areas[index]) == 1:
            return
        below = np.unique(shown[stencil])
        for other in below[below >= 0].tolist():
            same_size = areas[other] == areas[index]
            if same_size and self.regions[other].class_id != region.class_id:
                raise DatasetError(
                    f"{self.path}: {self.regions[other].name} and {region.name} of "
                    f"{self.image_name} overlap, are of the same {areas[index]} pixels and of two "
                    "classes, so that either may be on top; take one out"
                )

    def _hidden(
        self,
        shown: NDArray[np.int32],
        classes: NDArray[np.uint8],
        codes: Sequence[Mapping[str, Any]],
        areas: Sequence[int],
    ) -> Iterator[Issue]:
        """Warnings about regions of no pixel, and about those that smaller ones of other classes
        cover whole."""
        seen = np.bincount(shown[shown >= 0].ravel(), minlength=len(self.regions))
        empty = [r.name for r, area in zip(self.regions, areas, strict=True) if not area]
        covered = [
            region
            for region, code, area, pixels in zip(self.regions, codes, areas, seen, strict=True)
            if area and not pixels
            if region.class_id not in classes[shown[coco_mask.decode(code).astype(bool)]]
        ]
        yield from hidden_regions(
            empty, self.path, self.image_name, "no pixel of the picture lies in them"
        )
        for is_crowd, why in ((False, _UNDER_SMALLER), (True, _UNDER_SINGLE)):
            names = [region.name for region in covered if region.is_crowd == is_crowd]
            yield from hidden_regions(names, self.path, self.image_name, why)

    def _drawable(self, region: Region, draw: Callable[[Region], Any]) -> Any:
        try:
            return draw(region)
        except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
            raise DatasetError(
                f"{self.path}: the segmentation of {region.name} is not a polygon or run length of "
                f"the {self.width}×{self.height} pixels of {self.image_name} ({error}); export the "
                "annotations again"
            ) from error

    def _encoded(self, region: Region) -> Mapping[str, Any]:
        """The region as one compressed run length."""
        parts = region.segmentation
        if isinstance(parts, dict):
            if list(parts["size"]) != [self.height, self.width]:
                raise ValueError(f"its size is {parts['size']}, height and width")
            runs = run_lengths(parts["counts"], self.height, self.width)
            parts = {"size": [self.height, self.width], "counts": runs.tolist()}
            encoded: Mapping[str, Any] = coco_mask.frPyObjects(parts, self.height, self.width)
            return encoded
        _require_short_outlines(parts)
        polygons = coco_mask.frPyObjects(parts, self.height, self.width)
        merged: Mapping[str, Any] = coco_mask.merge(polygons)
        return merged


def _boxes(region: Region) -> list[Box]:
    return region.boxes


def _require_short_outlines(parts: Sequence[Sequence[float]]) -> None:
    """Raise ValueError where polygons have edges that pycocotools would take gigabytes for, or
    coordinates that its integers do not hold: it takes memory by their length."""
    for part in parts:
        corners = np.array(part, np.float64).reshape(-1, 2)
        require_finite(corners)
        steps = np.diff(corners, axis=0, append=corners[:1])
        if (length := float(np.abs(steps).max(axis=1).sum())) > _LONGEST_OUTLINE:
            raise ValueError(f"its outline is {length:.0f} pixels long")


def run_lengths(counts: Any, height: int, width: int) -> NDArray[np.int64]:
    """The run lengths of `counts`. Raises ValueError or TypeError where they are none, or do not
    fill the picture: pycocotools leaves the rest of its buffer as it finds it."""
    runs = _decompressed(counts) if isinstance(counts, str | bytes) else _numbers(counts)
    if runs.size and runs.min() < 0:
        raise ValueError("it has a run of less than no pixels")
    total = sum(runs.tolist())  # of any size, where numpy's would wrap around
    if total != height * width:
        raise ValueError(f"its runs cover {total} pixels and the picture has {height * width}")
    return runs


def _numbers(counts: Any) -> NDArray[np.int64]:
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise TypeError("its counts are neither whole numbers nor COCO's compressed text")
    return np.array(counts, np.int64)


def _decompressed(text: str | bytes) -> NDArray[np.int64]:
    """The numbers in COCO's text: each in groups of five bits from the lowest, from the third on as
    the difference to the one before the last."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & _MORE:
        raise ValueError("its counts are not COCO's compressed text")
    last = (codes & _MORE) == 0
    number = np.concatenate([[0], np.cumsum(last)[:-1]])  # to which number each character belongs
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    place = np.arange(codes.size) - starts[number]
    if place.max() > 7:  # more than 40 bits
        raise ValueError("its counts are not COCO's compressed text")
    values = np.zeros(int(last.sum()), np.int64)
    np.add.at(values, number, (codes & (_MORE - 1)) << (_BITS * place))
    negative = (codes[last] & _SIGN) != 0
    values -= np.where(negative, 1 << (_BITS * (place[last] + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
