"""What the pipeline asks of anything that can run an artefact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

EngineName = Literal["auto", "tensorflow", "openvino", "onnx"]
Precision = Literal["auto", "fp32", "bf16", "int8"]
Stage = Literal["shallow", "deep", "tail"]


class EngineUnavailableError(Exception):
    """The engine or precision that is asked for cannot run this model here. The text says why, and
    what to do.
    """


@dataclass(frozen=True)
class EngineOptions:
    """What an operator may choose. `threads` is what an engine computes with; `streams` how many
    batches it runs beside each other, 0 for what is fastest.
    """

    name: EngineName = "auto"
    precision: Precision = "auto"
    threads: int = 1
    streams: int = 0


@dataclass(frozen=True)
class FeatureMap:
    """What one stage hands to the next, (h, w, channels) of `dtype`: each of its pixels is `step`
    pixels of the picture.
    """

    step: int
    channels: int
    dtype: "np.dtype[Any]"


@dataclass(frozen=True)
class StageFacts:
    """Of a network that is cut in three: picture → `shallow` map → `deep` map, and "tail", picture
    and both maps → logits. `radii` say how far each stage sees, in pixels of the picture; the
    "tail" with the interpolation of its logits, which have a pixel for `factor` × `factor`.
    """

    shallow: FeatureMap
    deep: FeatureMap
    radii: Mapping[Stage, int]
    factor: int


class Stages(Protocol):
    """A network that is run stage by stage. Calls block."""

    facts: StageFacts

    def run(self, stage: Stage, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Run pictures (N, H, W, C), maps (N, h, w, channels), or all three, to the stage's own
        maps or to logits (N, classes, H / factor, W / factor). H and W are multiples of the stride.
        """
        ...


class Engine(Protocol):
    """One loaded model on one device. Calls block, and may come from `streams` threads at a time.

    `reason` says why this engine and precision. `device` is the field's word for where it runs
    ("CPU", "GPU:0"), `device_reason` says why there, and `precision` is the arithmetic ("fp32",
    "int8"). Beyond `best_batch` images, or `best_batch_pixels` in all of them, a larger batch gains
    nothing on that device. `light_class_maps` says that class maps and logits take half of the
    memory that probabilities take; `probabilities_on_demand` that what computes them is set up when
    they are first asked for. `logits_factor` is how many pixels each way one of the logits stands
    for, where these are found on the way to class maps; 0 where they would cost more.
    """

    name: str
    reason: str
    device: str
    device_reason: str
    precision: str
    best_batch: int
    best_batch_pixels: int
    streams: int
    light_class_maps: bool
    probabilities_on_demand: bool
    logits_factor: int

    @property
    def stages(self) -> Stages | None:
        """The network in stages, which give the logits that `logits` gives; None where it cannot be
        cut so. It takes a moment to find out; asked again, it is known.
        """
        ...

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map images (N, H, W, C) to class ids (N, H, W)."""
        ...

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map images (N, H, W, C) to softmax probabilities (N, H, W, classes)."""
        ...

    def logits(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
        """Map images (N, H, W, C), H and W multiples of the stride, to logits (N, classes, H /
        factor, W / factor), which may be off by a constant in each pixel, and the factor.
        Interpolated bilinearly they give the class map.
        """
        ...

    def close(self) -> None:
        """Give the model's memory back. The engine is not called again."""
        ...


def logits_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (N, classes, H, W), up to a constant in each pixel, of probabilities (N, H, W,
    classes).
    """
    smallest = np.finfo(np.float32).tiny
    planes = np.ascontiguousarray(np.moveaxis(probabilities, -1, 1))
    logits: NDArray[np.float32] = np.log(np.maximum(planes, smallest, out=planes), out=planes)
    return logits
