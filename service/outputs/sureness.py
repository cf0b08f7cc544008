"""How sure the model is of a class and of a region, as JSON formats say it."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.domain.classes import bands
from service.domain.errors import AnswerTooLargeError
from service.domain.segmentation import Need, Segmentation
from service.outputs.output import OutputOptions

_MOST_PIXELS = 2**24  # whose sum of 8-bit values is one of 32 bits


class SurenessOptions(OutputOptions):
    """What formats share that can say a mean confidence."""

    confidence: bool | Literal["auto"] = Field(
        default="auto",
        description=(
            "Say the mean confidence of each class, or of each region where the format has them. "
            "`auto` says it where it costs little, interpolated from the confidence at "
            "the network's own resolution; `true` finds it pixel by pixel, at the cost of the "
            "format `confidence`; `false` leaves it out."
        ),
        examples=[True],
    )

    @property
    def format_need(self) -> Need:
        if self.confidence == "auto":
            return "mean_confidence"
        return "confidence" if self.confidence else "class_map"


def mean_of_classes(segmentation: Segmentation, options: SurenessOptions) -> dict[int, float]:
    """The mean confidence of the pixels that each class id has, of those that occur; empty where it
    is not to be said. Pixels that `classes` left out are not counted.
    """
    if not _is_said(segmentation, options):
        return {}
    confidence, overlap = segmentation.confidence, segmentation.model.contract.overlap
    if overlap is not None:
        return _mean_of_overlapping(segmentation)
    assert confidence is not None  # the options say need
    pixels, sums = np.zeros(256, np.int64), np.zeros(256)
    for rows in bands(*segmentation.class_map.shape):
        ids, sure = segmentation.class_map[rows].reshape(-1), confidence[rows].reshape(-1)
        pixels += np.bincount(ids[sure > 0], minlength=256)
        sums += np.bincount(ids, sure, minlength=256)
    return {
        int(class_id): round(float(sums[class_id] / pixels[class_id] / 255), 4)
        for class_id in np.flatnonzero(pixels)
    }


def sums_of_regions(segmentation: Segmentation, options: SurenessOptions) -> "RegionSums | None":
    """What gives regions their mean confidence; None where it is not to be said. Raises
    AnswerTooLargeError where it was asked for.
    """
    confidence = segmentation.confidence
    if not _is_said(segmentation, options):
        return None
    if options.confidence == "auto" and segmentation.class_map.size > _MOST_PIXELS:
        return None
    assert confidence is not None  # the options say need
    return RegionSums(confidence)


def _is_said(segmentation: Segmentation, options: SurenessOptions) -> bool:
    if options.confidence == "auto":
        overlaps = segmentation.model.contract.overlap is not None
        return segmentation.confidence is not None and not overlaps
    return options.confidence


def _mean_of_overlapping(segmentation: Segmentation) -> dict[int, float]:
    probabilities = segmentation.probabilities
    assert probabilities is not None  # the options say need
    found = {}
    everything = frozenset(one.id for one in segmentation.model.contract.classes)
    for ids, layer in segmentation.layers(everything):
        for class_id in ids:
            of_class = probabilities[..., class_id][layer == class_id]
            if of_class.size:
                found[class_id] = round(float(of_class.mean()), 4)
    return found


class RegionSums:
    """Mean confidences of regions by their outlines: of the sums of all pixels above and left of a
    corner, those along a region's vertical edges give the sum within it.
    """

    def __init__(self, confidence: NDArray[np.uint8]) -> None:
        """Raises AnswerTooLargeError."""
        height, width = confidence.shape
        if confidence.size > _MOST_PIXELS:
            raise AnswerTooLargeError(
                f"The confidence of regions is found in pictures of up to {_MOST_PIXELS:,} pixels; "
                f"this one has {confidence.size:,}. Leave `confidence` out, or send it smaller."
            )
        self._sums = np.zeros((height + 1, width + 1), np.uint32)
        inside = self._sums[1:, 1:]
        np.cumsum(confidence, axis=1, dtype=np.uint32, out=inside)
        np.cumsum(inside, axis=0, dtype=np.uint32, out=inside)

    def mean(self, rings: list[NDArray[np.int64]], area: float) -> float:
        """Of a region of `area` pixels within closed rings (n, 2) of x and y along pixel edges,
        holes wound against the exterior.
        """
        total = 0
        for ring in rings:
            x, y = ring[:, 0], ring[:, 1]
            steps = self._sums[y[1:], x[:-1]].astype(np.int64) - self._sums[y[:-1], x[:-1]]
            total += int(steps.sum())
        return round(abs(total) / (255 * area), 4)
