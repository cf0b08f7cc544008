"""Models that run in this process: an InstanceLoader for the catalogue."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from service.catalogue.instance import CannotLoadError
from service.catalogue.store import Artefact
from service.domain.model import Model
from service.inference.batching import Batcher
from service.inference.limits import InferenceLimits
from service.inference.observer import SILENT, Observer
from service.inference.scheduler import DeviceScheduler
from service.inference.segmenter import Segmenter
from service.runtimes.engine import EngineOptions, EngineUnavailableError
from service.runtimes.loading import load_engine
from service.threads import on_own_thread


class InProcessLoader:
    """Loads models beside each other: they share the machine by one scheduler."""

    def __init__(
        self,
        options: EngineOptions,
        limits: InferenceLimits,
        workers: ThreadPoolExecutor,
        observer: Observer = SILENT,
    ) -> None:
        self._options = options
        self._limits = limits
        self._workers = workers
        self._observer = observer
        self._scheduler = DeviceScheduler()

    async def __call__(self, artefact: Artefact, model: Model) -> Segmenter:
        """Raises CannotLoadError where no engine can run the model here, as the options ask."""
        try:
            engine = await on_own_thread(
                partial(load_engine, artefact.path, model.contract, self._options),
                f"load-{artefact.id}",
            )
        except EngineUnavailableError as error:
            raise CannotLoadError(str(error)) from error
        batcher = Batcher.within(
            self._limits,
            model.id,
            engine,
            self._scheduler,
            self._observer,
            threads=self._options.threads,
        )
        return Segmenter(model, batcher, self._limits, self._workers, self._observer)
