"""What a segmenter asks of whoever runs its model: a batcher, here or on another machine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.catalogue.instance import RuntimeFacts
from service.domain.segmentation import Need, is_of_classes
from service.inference.tiling.plan import TilePlan, plan_tiles
from service.inference.tiling.stages import plan_stages
from service.runtimes.engine import Stage, StageFacts

Signature = Literal["class_map", "probabilities", "logits", "enlarged"]

# Arrays, but for "enlarged", which gives both in one `Enlarged`.
Result = Any

# 0.42 GB of the bundled networks in int8. Of a picture of 100 megapixels tiles of 1536 compute 3.8
# times the pixels and those of 2176, which take as much where class maps are light, 2.2 times.
_TILE, _LIGHT_TILE = 1536, 2176

T = TypeVar("T")

# Runs one image (H, W, C) mirror-padded to a shape, on the thread that calls it.
RunImage = Callable[[Signature, NDArray[np.uint8], tuple[int, int]], Result]
# All that is to be done for one image, the engine's part by what it is given.
AloneWork = Callable[[RunImage], T]


class InferenceResult(NamedTuple):
    """An image's own result (H, W) or (H, W, classes), logits (classes, h, w), these with the class
    map, or a stage's map (h, w, channels), and the batch that it was part of.
    """

    result: Result
    batch: int
    seconds: float


class TileSides(NamedTuple):
    """Side of the largest square that is run whole, in pixels: where an engine is asked for class
    maps or logits, and where for probabilities.
    """

    class_map: int
    probabilities: int

    @classmethod
    def of(cls, tile_size: int | None, *, light_class_maps: bool) -> "TileSides":
        """`tile_size` where it is given; else those that take an engine about as much memory as the
        other.
        """
        if tile_size is not None:
            return cls(tile_size, tile_size)
        return cls(_LIGHT_TILE if light_class_maps else _TILE, _TILE)

    def plan(
        self,
        contract: Contract,
        height: int,
        width: int,
        need: Need,
        *,
        scaled: bool,
        stages: StageFacts | None = None,
    ) -> TilePlan:
        """How a picture (H, W) is cut for a model; `scaled` as of `Work`, `stages` those that its
        class maps may be computed in.
        """
        radius = contract.receptive_field_radius
        of_class_map = radius is not None and (scaled or is_of_classes(need))
        side = self.class_map if of_class_map else self.probabilities
        plan = plan_tiles(height, width, contract.stride, radius, side, contract.only_size)
        if stages is None or not of_class_map:
            return plan
        return plan_stages(plan, contract.stride, stages, side)


DEFAULT_TILE_SIDES = TileSides(_TILE, _TILE)


@dataclass(frozen=True)
class BatchLimits:
    """How large a batch may be: in images, and in pixels that are worth it.

    `max_pixels` is for all batches that run beside each other, which are `streams` at most.
    """

    max_images: int
    max_pixels: int
    useful_batch_pixels: int
    streams: int

    def max_concurrent_batches(self, shape: tuple[int, int]) -> int:
        """How many batches with images of this padded shape may run beside each other."""
        return self.streams if shape[0] * shape[1] * self.streams <= self.max_pixels else 1

    def batch(self, shape: tuple[int, int]) -> int:
        """The most images of this padded shape in one batch."""
        pixels = shape[0] * shape[1]
        most_pixels = min(
            self.max_pixels // self.max_concurrent_batches(shape), self.useful_batch_pixels
        )
        return max(1, min(self.max_images, most_pixels // pixels))

    def capacity(self, shape: tuple[int, int]) -> int:
        """The most images of this padded shape that run at once."""
        return self.max_concurrent_batches(shape) * self.batch(shape)


class AloneRunner(Protocol):
    """Does all of an image's work on one thread of the engine's, where a batch would hold no other
    image anyway: the ways from thread to thread are saved. Used on the event loop only.
    """

    def runs_alone(self, shape: tuple[int, int]) -> bool:
        """Whether that pays for images of this padded shape."""
        ...

    async def run_alone(
        self, work: AloneWork[T], shape: tuple[int, int], deadline: float | None
    ) -> T:
        """The result of `work` once it is the image's turn, as of `Runner.run`.

        Raises what `work` raises, and as `Runner.run`.
        """
        ...

    def find_stages(self) -> StageFacts | None:
        """The stages that large pictures may be computed in. It blocks for a moment, once; call it
        on any thread.
        """
        ...

    async def run_stage(
        self,
        stage: Stage,
        inputs: tuple[NDArray[Any], ...],
        shape: tuple[int, int],
        deadline: float | None,
    ) -> InferenceResult:
        """As `Runner.run`, for one stage of a tile of the padded `shape`, in pixels of the picture:
        `inputs` are its image (H, W, C) and maps (h, w, channels), as `Stages.run` takes them.
        """
        ...


class Runner(Protocol):
    """Runs the images of one model. Used on the event loop only.

    `alone` is there where the engine is in this process.
    """

    @property
    def tile_sides(self) -> TileSides: ...

    @property
    def alone(self) -> AloneRunner | None: ...

    @property
    def facts(self) -> RuntimeFacts: ...

    @property
    def stuck_seconds(self) -> float:
        """How long the longest of the batches that run now has been running; 0 when none does."""
        ...

    def capacity(self, shape: tuple[int, int]) -> int:
        """The most images of this padded shape that run at once."""
        ...

    def batch(self, shape: tuple[int, int]) -> int:
        """The most images of this padded shape in one batch."""
        ...

    async def warm(self, contract: Contract) -> float:
        """Run what is set up once, and give the seconds that one image takes.

        Raises ContractError where the model does not do what its contract says.
        """
        ...

    async def run(
        self,
        signature: Signature,
        image: NDArray[np.uint8],
        shape: tuple[int, int],
        deadline: float | None,
    ) -> InferenceResult:
        """Run an image (H, W, C) mirror-padded to `shape`; the result has that shape.

        `deadline` is counted as time.monotonic() does; a caller that is cancelled is dropped from
        the queue. Raises InferenceError if the batch fails, DeadlineExceededError if the image
        still waits at its deadline, ModelUnavailableError once closed.
        """
        ...

    async def close(self) -> None:
        """Refuse what still waits, and give the model back."""
        ...
