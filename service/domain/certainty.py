"""The option `min_confidence` that every format has: what the model is not sure enough of gets the
ignore id.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract, OperatingPoint, StoredPrecision
from service.domain.classes import bands
from service.domain.errors import InvalidOptionError
from service.domain.model import Model
from service.domain.segmentation import Segmentation

AUTO = "auto"
_NO_IGNORE_ID = 255  # what pixels get where the model has no ignore id
_SAYS = (
    "it can be a probability above 0 and at most 1 such as 0.6, one for each class such as "
    "car:0.5,road:0.8, or auto, which is the operating points that the model keeps"
)


@dataclass(frozen=True)
class MinConfidence:
    """The least confidence of every class, or of some by name; `auto` is the model's own."""

    of_all: float | None = None
    by_name: Mapping[str, float] = field(default_factory=dict)
    auto: bool = False

    @classmethod
    def parse(cls, text: str) -> "MinConfidence":
        """Read "0.6", "car:0.5,road:0.8" (a name that holds a comma in double quotes, with its
        number), or "auto". Raises ValueError.
        """
        if text == AUTO:
            return cls(auto=True)
        if ":" not in text:
            return cls(of_all=_probability(text))
        by_name: dict[str, float] = {}
        for cell in next(csv.reader([text], skipinitialspace=True), []):
            name, colon, number = cell.rpartition(":")
            name = name.strip()
            if not colon or not name:
                raise ValueError(_SAYS)
            if name in by_name:
                raise ValueError(f"class {name!r} is named twice; name it once")
            by_name[name] = _probability(number.strip())
        return cls(by_name=by_name)


def limits_of(request: MinConfidence, contract: Contract, precision: str) -> NDArray[np.uint8]:
    """The least confidence × 255 of each class id (256,); 0 asks nothing of a class.

    Raises InvalidOptionError where a class is not known, or the model keeps no operating points.
    """
    limits = np.zeros(256, np.uint8)
    if request.of_all is not None:
        limits[: len(contract.classes)] = _in_8_bits(request.of_all)
        return limits
    ids = {one.name: one.id for one in contract.classes}
    if request.auto:
        for name, point in _operating_points(contract, precision).items():
            limits[ids[name]] = _in_8_bits(point.min_confidence)
        return limits
    for name, least in request.by_name.items():
        if name not in ids:
            raise InvalidOptionError(
                f"Parameter min_confidence names class {name[:60]!r}, which {contract.name} does "
                f"not have; it has {', '.join(ids)}."
            )
        limits[ids[name]] = _in_8_bits(least)
    return limits


def with_ignore_id(model: Model) -> Model:
    """The model with an id for pixels that are left out: its ignore id, or 255 where it has none.

    Raises InvalidOptionError where all 256 ids are classes, or classes overlap.
    """
    if model.contract.overlap is not None:
        raise InvalidOptionError(
            f"The classes of {model.contract.name} overlap, and a pixel has a probability of each. "
            "Leave `min_confidence` out; npz with probabilities has them all."
        )
    if model.contract.ignore is not None:
        return model
    if len(model.contract.classes) > _NO_IGNORE_ID:
        raise InvalidOptionError(
            f"{model.contract.name} has neither an ignore id nor an id that is free for what lies "
            "below `min_confidence`. Ask for `confidence` and compare it yourself."
        )
    contract = model.contract.model_copy(update={"ignore": _NO_IGNORE_ID})
    return replace(model, contract=contract)


def leave_out_unsure(
    class_map: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    limits: NDArray[np.uint8],
    ignore: int,
) -> None:
    """Give `ignore` to the pixels of `class_map` (H, W) whose `confidence` (H, W) is below their
    class's limit, and 0 to their confidence. Works in place.
    """
    for rows in bands(*class_map.shape):
        unsure = confidence[rows] < limits[class_map[rows]]
        class_map[rows][unsure] = ignore
        confidence[rows][unsure] = 0


def only_sure(
    segmentation: Segmentation, request: MinConfidence | None, precision: str
) -> Segmentation:
    """What a caller asked to be sure of, in place, of a segmentation that has a confidence. Raises
    InvalidOptionError.
    """
    if request is None:
        return segmentation
    model = with_ignore_id(segmentation.model)
    limits = limits_of(request, model.contract, precision)
    ignore = model.contract.ignore
    assert segmentation.confidence is not None  # as was asked
    assert ignore is not None  # as was just made
    leave_out_unsure(segmentation.class_map, segmentation.confidence, limits, ignore)
    return replace(segmentation, model=model)


def _operating_points(contract: Contract, precision: str) -> Mapping[str, OperatingPoint]:
    stored: StoredPrecision = "int8" if precision == "int8" else "fp32"
    points = (contract.operating_points or {}).get(stored)
    if not points:
        raise InvalidOptionError(
            f"{contract.name} keeps no operating points in {stored}. Say a number, such as "
            "min_confidence=0.6, or choose them with `segtrain evaluate --precision`."
        )
    return points


def _in_8_bits(probability: float) -> int:
    """The least value of a confidence map that is no less than `probability`."""
    return math.ceil(probability * 255 - 1e-9)


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:  # NaN too
        raise ValueError(_SAYS)
    return value
