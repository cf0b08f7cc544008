"""The result for one picture, as the core hands it to an output."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.contract.intensity import IntensityWindow
from service.domain.model import Model
from service.domain.observation import Observation
from service.domain.source import SourceInfo

# "mean_confidence" is a confidence for means alone: interpolated from that of a low resolution.
Need = Literal["class_map", "mean_confidence", "confidence", "uncertainty", "probabilities"]


def is_of_classes(need: Need) -> bool:
    """Whether it takes no more than logits of a low resolution."""
    return need in ("class_map", "mean_confidence")


@dataclass(frozen=True)
class Segmentation:
    """One picture's result, at its own size.

    `class_map` (H, W) uint8 holds class ids, and the ignore id where the caller's `classes` or
    `min_confidence` left a pixel out. `confidence` (H, W) uint8 is the top class's probability ×
    255; `uncertainty` (H, W) uint8 the entropy of all, 255 where they are equal; `probabilities`
    (H, W, classes) float32. `image` (H, W, C) uint8 is there for outputs that show it. `blended`
    says that tiles were blended, see `tiling/plan.py`. `source` is what the file knows of itself.
    The network saw the picture at `scale` of its size, and `window` of its samples as 8 bits, None
    where they had 8.
    """

    model: Model
    class_map: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None = None
    probabilities: NDArray[np.float32] | None = None
    image: NDArray[np.uint8] | None = None
    blended: bool = False
    source: SourceInfo = field(default_factory=SourceInfo)
    scale: float = 1.0
    window: IntensityWindow | None = None
    uncertainty: NDArray[np.uint8] | None = None
    observation: Observation | None = None

    def layers(self, kept: frozenset[int]) -> Iterator[tuple[frozenset[int], NDArray[np.uint8]]]:
        """Class maps (H, W), each with the ids that count in it, which together hold the classes
        `kept`: one of all, or where classes overlap one of each."""
        overlap = self.model.contract.overlap
        if overlap is None:
            yield kept, self.class_map
            return
        assert self.probabilities is not None  # the options say need
        for class_id in sorted(kept):
            layer = self.class_map
            if class_id:
                there = self.probabilities[..., class_id] > overlap.threshold
                layer = there.astype(np.uint8) * np.uint8(class_id)
            yield frozenset({class_id}), layer

    def seen(self) -> dict[str, Any]:
        """At which size and depth the network saw the picture, whether classes overlap, how sure it
        is of it, and how far the picture lies outside of what it was made on, as JSON answers say
        it.
        """
        depth = {} if self.window is None else {"intensity": list(self.window)}
        overlap = {} if self.model.contract.overlap is None else {"classes_overlap": True}
        observed = {} if self.observation is None else self.observation.document()
        return {"scale": round(self.scale, 6), **depth, **overlap, **observed}
