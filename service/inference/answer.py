"""What comes out of the seam, and what it says of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from models.contract.intensity import IntensityWindow
from service.domain.observation import Observation
from service.domain.segmentation import Need
from service.outputs.output import Encoded


@dataclass(frozen=True)
class Timings:
    """Where the time went. `queue_seconds` is all waiting: for a worker, the device, the engine."""

    decode_seconds: float
    queue_seconds: float
    infer_seconds: float
    encode_seconds: float


@dataclass(frozen=True)
class Answer:
    """One picture's result, encoded.

    `model_id` is the version that answered. `tiles` is 1 for a picture run whole; `blended` tells
    tiles that were not cut exactly. `width` and `height` are the picture's, which is number `page`
    of the `pages` in its file. The network saw it at `scale` of its size, and
    `window` of its samples as 8 bits, None where they had 8. `observation` says how sure the model
    is, and whether the picture is like its own. The picture is kept as `captured`, None where it is
    not.
    """

    model_id: str
    encoded: Encoded
    timings: Timings
    tiles: int
    blended: bool
    width: int
    height: int
    observation: Observation
    page: int = 1
    pages: int = 1
    scale: float = 1.0
    window: IntensityWindow | None = None
    captured: str | None = None


@dataclass(frozen=True)
class TensorAnswer:
    """The results of one or more pictures, as arrays.

    Each of `outputs` is one array (N, …) where all pictures have one size, else a list of N:
    `class_map` and `confidence` (H, W) uint8, `probabilities` (H, W, classes) float32. `tiles`
    counts those of all pictures; `blended` tells that some were not cut exactly. The network saw
    each picture at its part of `scales` of its size; `observations` are as of `Answer`.
    """

    model_id: str
    outputs: Mapping[Need, NDArray[Any] | list[NDArray[Any]]]
    timings: Timings
    tiles: int
    blended: bool
    scales: Sequence[float]
    observations: Sequence[Observation] = ()
