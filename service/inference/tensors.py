"""What `predict` takes and gives: arrays of pixels that are decoded already."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import ImageTooLargeError, InvalidTensorError
from service.domain.model import Model
from service.domain.segmentation import Need
from service.inference.limits import InferenceLimits

Arrays = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]

NAMES: tuple[Need, ...] = ("class_map", "confidence", "probabilities")


def checked_outputs(outputs: Collection[str]) -> frozenset[Need]:
    """What is asked for. Raises InvalidTensorError."""
    unknown = sorted(set(outputs) - set(NAMES))
    if unknown or not outputs:
        asked = f"The output {unknown[0]!r} is asked for" if unknown else "No output is asked for"
        raise InvalidTensorError(f"{asked}; there are {', '.join(NAMES)}.")
    return frozenset(name for name in NAMES if name in outputs)


def checked_images(
    arrays: Arrays, model: Model, limits: InferenceLimits
) -> list[NDArray[np.uint8]]:
    """Each image (H, W, C). Raises InvalidTensorError and ImageTooLargeError."""
    if isinstance(arrays, np.ndarray):
        _check(arrays, 4, "The tensor", model)
        images = list(arrays)
    else:
        images = list(arrays)
        for index, image in enumerate(images):
            _check(image, 3, f"Image {index}", model)
    if not images:
        raise InvalidTensorError(f"There is no image; {_wanted(model)}.")
    if len(images) > limits.max_queue_images:
        raise InvalidTensorError(
            f"There are {len(images)} images; the limit is {limits.max_queue_images} at once. "
            "Send fewer at a time."
        )
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        if height * width > limits.max_image_pixels:
            raise ImageTooLargeError(
                f"Image {index} is {width} × {height} = {height * width:,} pixels; the limit is "
                f"{limits.max_image_pixels:,} pixels. Send it smaller or in parts."
            )
    return images


def _check(array: NDArray[Any], rank: int, what: str, model: Model) -> None:
    good = array.dtype == np.uint8 and array.ndim == rank
    if not good or array.shape[-1] != model.contract.channels:
        raise InvalidTensorError(
            f"{what} is {array.dtype} of shape {array.shape}; {_wanted(model)}."
        )
    if array.size == 0:
        raise InvalidTensorError(
            f"{what} of shape {array.shape} has no pixels; "
            f"{_wanted(model)}, of at least 1 × 1 pixel."
        )


def _wanted(model: Model) -> str:
    channels = model.contract.channels
    colors = "RGB" if channels == 3 else "gray"
    return (
        f"{model.id} takes {colors} pixels as they are, 0 to 255: uint8 of shape "
        f"(N, H, W, {channels}), or several of (H, W, {channels})"
    )
