"""What every answer format is made of: the data it gets, its options, what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from service.pipeline.model import Model

Need = Literal["class_map", "confidence", "probabilities"]


@dataclass(frozen=True)
class Segmentation:
    """One picture's result, at its own size.

    `class_map` (H, W) uint8 holds class ids, and the ignore id where the caller's `classes` left a
    pixel out. `confidence` (H, W) uint8 is the top class's probability × 255; `probabilities` (H,
    W, classes) float32. `image` (H, W, C) uint8 is there for formats that show it. `blended` says
    that tiles were blended, see `tile.py`.
    """

    model: Model
    class_map: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None = None
    probabilities: NDArray[np.float32] | None = None
    image: NDArray[np.uint8] | None = None
    blended: bool = False


@dataclass(frozen=True)
class Encoded:
    """A response body with the media type and the file extension (".png") that belong to it."""

    body: bytes
    media_type: str
    extension: str


class FormatOptions(BaseModel):
    """What a caller may choose, whatever the format; each format adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Names of the classes to keep, separated by commas. All other pixels get the id of the "
            "model's "
            "background class, or its ignore id where it has no background."
        ),
        examples=["car,person"],
    )

    @property
    def need(self) -> Need:
        """What the engine must compute beyond which class wins."""
        return "class_map"


@dataclass(frozen=True)
class Format:
    """One row of the table of formats.

    It answers with `media_types[0]` unless an option says otherwise. `encode` takes a Segmentation
    and an instance of `options`; it is pure, and slow enough to belong on a worker.
    """

    name: str
    media_types: tuple[str, ...]
    options: type[FormatOptions]
    description: str
    encode: Callable[[Segmentation, Any], Encoded]
    needs_image: bool = False
