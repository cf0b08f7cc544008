"""The one way in: a file or arrays go in with what is wanted of them, an answer comes out.

Every protocol, the command line and the cluster call this and nothing below it. What a request
holds while it runs is taken here, once: a lease of its model, a place in the model's queue, and a
deadline.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from models.contract import Contract
from service.domain.deadline import seconds_left
from service.domain.errors import DeadlineExceededError
from service.domain.requests import ScaleRequest
from service.inference.admission import Place
from service.inference.answer import Answer, TensorAnswer, Timings
from service.inference.segmenter import Segmenter
from service.inference.tensors import Arrays, checked_images, checked_outputs
from service.inference.watching import Watcher
from service.outputs.output import Output, OutputOptions

AUTO_SCALE = ScaleRequest()

__all__ = ["Answer", "Inference", "TensorAnswer", "Timings"]


class Models(Protocol):
    """Whoever has the models loaded: the catalogue's registry."""

    def lease(
        self, selector: str | None, deadline: float | None
    ) -> AbstractAsyncContextManager[Segmenter]:
        """The model that answers `selector`, which stays loaded for the time of the block."""
        ...


class Inference:
    """Used on the event loop only.

    A deadline is in seconds of time.monotonic(); None lets a request take as long as it takes.
    `model` None is the default model, "street" its newest version that serves, "street/1" that one.
    Cancelling a request frees what it holds. `watcher`, if any, sees the result of each file.
    """

    def __init__(self, models: Models, watcher: Watcher | None = None) -> None:
        self._models = models
        self.watcher = watcher

    def lease(
        self, model: str | None, deadline: float | None = None
    ) -> AbstractAsyncContextManager[Segmenter]:
        """The model itself, loaded for the time of the block, for work that outlasts a request
        (`service.maps`). Raises ModelUnavailableError and what else a look-up does.
        """
        return self._models.lease(model, deadline)

    async def segment(
        self,
        upload: bytes | bytearray | memoryview,
        output: Output,
        options: OutputOptions,
        deadline: float | None,
        *,
        model: str | None = None,
        file_name: str | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> Answer:
        """Segment one image file, and encode the result. Raises subclasses of ServiceError only.

        `file_name` is what the caller calls it, for outputs that name their picture. `tell` is
        called after each tile but the last, with the pixels that are done and with all of them.
        """
        async with (
            self._models.lease(model, deadline) as segmenter,
            _accepted(segmenter, 1, deadline) as place,
        ):
            place.tell = tell
            return await segmenter.segment(
                upload, output, options, deadline, place, file_name, self.watcher
            )

    async def predict(
        self,
        model: str | None,
        arrays: Arrays,
        outputs: Collection[str] | Callable[[Contract], Collection[str]],
        deadline: float | None,
        *,
        scale: ScaleRequest = AUTO_SCALE,
    ) -> TensorAnswer:
        """Segment decoded images: uint8 (N, H, W, C), or several (H, W, C) of any sizes.

        `outputs` are some of class_map, confidence and probabilities, or what gives these for the
        model's contract; they have the images' own
        size at whichever `scale` the network sees these. Raises subclasses of
        ServiceError only, InvalidTensorError where the arrays are not what the model takes.
        """
        if not callable(outputs):
            checked_outputs(outputs)  # before a model is loaded for nothing
        async with self._models.lease(model, deadline) as segmenter:
            named = outputs(segmenter.model.contract) if callable(outputs) else outputs
            wanted = checked_outputs(named)
            images = checked_images(arrays, segmenter.model, segmenter.limits)
            async with _accepted(segmenter, len(images), deadline) as place:
                return await segmenter.predict(images, wanted, scale, deadline, place)


@asynccontextmanager
async def _accepted(
    segmenter: Segmenter, images: int, deadline: float | None
) -> AsyncGenerator[Place]:
    """A place in the model's queue for the time of the block, which is ended at the deadline."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(seconds_left(deadline)):
            with segmenter.admission.enter(images) as place:
                yield place
                place.answered = True
    except TimeoutError:
        what = "The image was" if images == 1 else f"The {images} images were"
        raise DeadlineExceededError(
            f"{what} not done by the deadline; "
            f"{time.monotonic() - started:.1f} s were spent on it. "
            "Send it smaller, or try again when the server is less busy."
        ) from None
