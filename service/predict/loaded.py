"""One model in this process, for whoever has many pictures and nobody waiting."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from service.catalogue.registry import Registry
from service.domain.errors import QueueFullError, ServiceError
from service.inference.inference import Answer, Inference
from service.inference.loading import InProcessLoader
from service.inference.segmenter import Segmenter
from service.outputs.output import Output, OutputOptions
from service.parts import engine_options, image_workers, inference_limits, registry_options
from service.predict.errors import PredictError
from service.predict.model import PinnedModel


class LoadedModel:
    """Used on one event loop, from `load` to `close`."""

    def __init__(self, model: PinnedModel) -> None:
        settings = model.settings
        self._id = model.id
        self.contract = model.contract
        self._workers = ThreadPoolExecutor(image_workers(settings), thread_name_prefix="image")
        loader = InProcessLoader(
            engine_options(settings), inference_limits(settings), self._workers
        )
        self._registry: Registry[Segmenter] = Registry(
            settings.model_store, registry_options(settings), loader
        )
        self._inference = Inference(self._registry)

    @property
    def inference(self) -> Inference:
        return self._inference

    @property
    def at_once(self) -> int:
        """How many pictures keep the engine busy: a batch that runs and one that waits."""
        return 2 * self._registry.best_batch(self._id)

    @property
    def stuck_seconds(self) -> float:
        """How long the engine has been at one batch."""
        return self._registry.stuck_seconds()

    async def load(self) -> None:
        """Raises PredictError where the model does not load."""
        await self._registry.start()
        await self._registry.wait_until_settled()
        try:
            self._registry.check(self._id)
        except ServiceError as error:
            faults = [state.error for state in self._registry.states() if state.error]
            raise PredictError(f"{self._id} cannot be used: {' '.join(faults) or error}") from None

    async def segment(
        self,
        body: bytes,
        output: Output,
        options: OutputOptions,
        file_name: str | None,
        tell: Callable[[int, int], None] | None = None,
    ) -> Answer:
        """Segment one picture, however long it takes; `tell` as of Inference. Raises
        ServiceError.
        """
        while True:
            try:
                return await self._inference.segment(
                    body,
                    output,
                    options,
                    deadline=None,
                    model=self._id,
                    file_name=file_name,
                    tell=tell,
                )
            except QueueFullError as error:  # by pictures of this job: they make room
                await asyncio.sleep(error.retry_after_seconds)

    async def close(self) -> None:
        await self._registry.stop()
        self._workers.shutdown()
