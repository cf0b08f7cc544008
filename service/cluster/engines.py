"""Engine replicas own models and batch for them; `RemoteRunner` is one of these from outside.

Where each replica has room for every model, each has them all and takes images of any. Where there
are more models than that, a replica loads the ones it is asked for, and Ray sends images where
their model is.

An image goes to a replica as an array: Ray puts it into the shared memory of the sender's node,
copies it once to the replica's node where that is another one, and both sides read it there in
place.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import Metric
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from models.contract import Contract, ContractError
from service.catalogue.instance import CannotLoadError, RuntimeFacts
from service.catalogue.overdue import Overdue, OverdueError
from service.catalogue.slot import FAILED_RETRY_SECONDS
from service.catalogue.store import (
    Artefact,
    Selector,
    fingerprint_of,
    read_artefact,
    read_verified,
    scan,
)
from service.domain.deadline import has_passed, seconds_left
from service.domain.errors import (
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    ServiceError,
)
from service.domain.model import Model
from service.inference.batching import Batcher
from service.inference.limits import InferenceLimits
from service.inference.observer import Observer
from service.inference.runner import BatchLimits, InferenceResult, Signature, TileSides
from service.inference.scheduler import DeviceScheduler
from service.inference.segmenter import Segmenter
from service.parts import engine_options, inference_limits, registry_options
from service.protocols.telemetry.logging import configure_logging
from service.protocols.telemetry.metrics import Metrics
from service.runtimes.engine import Engine, EngineUnavailableError
from service.runtimes.loading import load_engine
from service.settings import Settings
from service.threads import on_own_thread

# Runs of one image or tile. Each next one goes to another replica, for Ray has struck off the one
# that was lost.
ATTEMPTS = 3
LOST_RETRY_SECONDS = 1.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class StuckError(Exception):
    """An engine has been at one batch for too long, or a load goes on far beyond its time; Ray
    restarts the replica that says so.
    """


@dataclass(frozen=True)
class ModelKey:
    """One version by its content, so that a folder whose files changed is another model."""

    name: str
    version: int
    digest: str

    def __str__(self) -> str:
        return f"{self.name}/{self.version}@{self.digest[:16]}"


@dataclass(frozen=True)
class Prepared:
    """What an HTTP replica must know of a loaded model; `seconds` is the time of one image."""

    facts: RuntimeFacts
    seconds: float
    batches: BatchLimits
    tile_sides: TileSides


class _Hosted:
    """A loaded model and its batcher."""

    def __init__(self, batcher: Batcher, prepared: Prepared) -> None:
        self.batcher = batcher
        self.prepared = prepared
        self._loop = asyncio.get_running_loop()
        self._let_go = False

    def __del__(self) -> None:
        # Ray's multiplexer gives a model back by calling this from some thread; Python calls it
        # once more.
        if not self._let_go and not self._loop.is_closed():
            self._let_go = True
            asyncio.run_coroutine_threadsafe(self.batcher.close(), self._loop)


class EngineReplica:
    """A process that owns models. Ray Serve makes as many as it needs, each with one event loop."""

    async def __init__(  # type: ignore[misc]  # Ray Serve waits for it
        self, settings: Settings, models: int
    ) -> None:
        configure_logging(settings.log_format, settings.log_level)
        self._settings = settings
        self._limits = inference_limits(settings)
        self._options = registry_options(settings)
        self._scheduler = DeviceScheduler()
        self._metrics = Metrics()
        self._batchers: WeakSet[Batcher] = WeakSet()
        self._overdue = Overdue()
        # two replicas must not give their batches one number
        self._first_batch = secrets.randbits(40) << 20

        async def load(key: str) -> _Hosted:
            return await self._load(key)

        # Ray keeps the last models loaded, and tells its routers where they are.
        multiplexed = serve.multiplexed(max_num_models_per_replica=models)
        self._host: Callable[[str], Awaitable[_Hosted]] = multiplexed(load)
        try:
            wanted = await self._in_time(on_own_thread(self._wanted, "scan"), "the store")
        except ModelUnavailableError as error:
            log.error("%s", error)
            wanted = []
        if not settings.lazy_loading and has_room_for_all(len(wanted), models):
            await self._load_before_the_first_image(wanted)

    async def prepare(self, key: ModelKey) -> Prepared:
        """Have the model loaded and warm. Raises what keeps it from that."""
        return (await self._at_hand(key)).prepared

    async def run(
        self,
        key: ModelKey,
        signature: Signature,
        image: NDArray[np.uint8],
        shape: tuple[int, int],
        seconds: float | None,
    ) -> InferenceResult:
        """As `Runner.run` says; the deadline is in `seconds` from now: machines share no clock."""
        deadline = None if seconds is None else time.monotonic() + seconds
        hosted = await self._at_hand(key)
        ran = await hosted.batcher.run(signature, image, shape, deadline)
        return ran._replace(batch=self._first_batch + ran.batch)

    def families(self) -> list[Metric]:
        """Its metrics, for the HTTP replica that is asked for those of all."""
        return self._metrics.families()

    def check_health(self) -> None:
        """Raises StuckError, upon which Ray Serve replaces the replica."""
        longest = max((batcher.stuck_seconds for batcher in self._batchers), default=0.0)
        if longest > self._settings.stuck_after_seconds:
            raise StuckError(f"an engine has been busy with one batch for {longest:.0f} s")
        beyond = self._overdue.stuck_seconds
        if beyond > self._settings.stuck_after_seconds:
            raise StuckError(f"a load goes on {beyond:.0f} s beyond its time")

    def _wanted(self) -> list[Artefact]:
        """The versions that the HTTP replicas will ask for, as far as the store tells now."""
        found = scan(self._settings.model_store).models
        selection = self._options.selection or tuple(Selector(name) for name in found)
        versions = [(found.get(selector.name, {}), selector.version) for selector in selection]
        return [
            known[version]
            for known, pinned in versions
            if (version := pinned or max(known, default=0)) in known
        ]

    async def _load_before_the_first_image(self, wanted: list[Artefact]) -> None:
        for artefact in wanted:
            try:
                reading = on_own_thread(partial(read_artefact, artefact), f"read-{artefact.id}")
                contract, _ = await self._in_time(reading, artefact.id)
                await self._at_hand(ModelKey(artefact.name, artefact.version, contract.digest))
            except Exception:  # whoever asks for it is told why
                log.exception("%s cannot be loaded", artefact.id)

    async def _at_hand(self, key: ModelKey) -> _Hosted:
        return await self._host(str(key))

    async def _load(self, key: str) -> _Hosted:
        """Raises ModelUnavailableError, too, where it takes longer than a load may."""
        return await self._in_time(self._bring_up(key), key.partition("@")[0])

    async def _in_time(self, work: Coroutine[Any, Any, T], what: str) -> T:
        seconds = self._settings.load_timeout_seconds
        try:
            return await self._overdue.within(seconds, work, f"it was not loaded in {seconds:g} s")
        except OverdueError as error:
            raise ModelUnavailableError(
                f"{what} cannot be loaded: {error}.", FAILED_RETRY_SECONDS
            ) from None

    async def _bring_up(self, key: str) -> _Hosted:
        model_id, _, digest = key.partition("@")
        name, _, version = model_id.partition("/")
        read = partial(self._read, name, int(version))
        contract = await on_own_thread(read, f"read-{model_id}")
        if not contract.digest.startswith(digest):
            raise ModelUnavailableError(
                f"{model_id} is another model on another node. "
                "The model store must be the same everywhere.",
                LOST_RETRY_SECONDS,
            )
        path = self._settings.model_store / model_id
        load = partial(self.load_engine, path, contract)
        engine = await on_own_thread(load, f"load-{model_id}")
        batcher = Batcher.within(self._limits, model_id, engine, self._scheduler, self._metrics)
        self._batchers.add(batcher)  # a warm-up that hangs is seen too
        try:
            seconds = await batcher.warm(contract)
        except BaseException:
            await batcher.close()
            raise
        prepared = Prepared(batcher.facts, seconds, batcher.batch_limits, batcher.tile_sides)
        return _Hosted(batcher, prepared)

    def load_engine(self, artefact: Path, contract: Contract) -> Engine:
        """What runs the model. Blocks while it loads."""
        return load_engine(artefact, contract, engine_options(self._settings))

    def _read(self, name: str, version: int) -> Contract:
        path = self._settings.model_store / name / str(version)
        artefact = Artefact(name, version, path, *fingerprint_of(path))
        return read_verified(artefact)[0]


class RemoteRunner:
    """A model that replicas run: a Runner. What was lost with one of them, another one runs."""

    def __init__(self, models: "RemoteModels", key: ModelKey, prepared: Prepared) -> None:
        self._models = models
        self._key = key
        self._prepared = prepared
        self._closed = False

    stuck_seconds = 0.0  # the replica itself looks after that
    alone = None  # pixels are sent, and what comes back is encoded here

    @property
    def facts(self) -> RuntimeFacts:
        return self._prepared.facts

    @property
    def tile_sides(self) -> TileSides:
        return self._prepared.tile_sides

    def capacity(self, shape: tuple[int, int]) -> int:
        return self._prepared.batches.capacity(shape)

    def batch(self, shape: tuple[int, int]) -> int:
        return self._prepared.batches.batch(shape)

    async def warm(self, contract: Contract) -> float:  # noqa: ARG002 - the replica has its own
        return self._prepared.seconds

    async def run(
        self,
        signature: Signature,
        image: NDArray[np.uint8],
        shape: tuple[int, int],
        deadline: float | None,
    ) -> InferenceResult:
        # a view would be copied into the message; an array of its own goes to shared memory
        sent = np.ascontiguousarray(image)
        for attempt in range(ATTEMPTS):
            if self._closed:
                break
            if has_passed(deadline):
                raise DeadlineExceededError("The image still waited for the model at its deadline.")
            try:
                ran: InferenceResult = await result_of(
                    self._models.where_it_is(self._key).run.remote(
                        self._key, signature, sent, shape, seconds_left(deadline)
                    )
                )
                return ran
            except ModelUnavailableError as error:
                log.info("attempt %d at %s: %s", attempt + 1, self._key, error)
        raise ModelUnavailableError(
            f"{self._key.name}/{self._key.version} was lost while it ran. Send the image again.",
            LOST_RETRY_SECONDS,
        )

    async def close(self) -> None:
        # Replicas keep a model until another needs its room: other HTTP replicas may ask for it.
        self._closed = True


class RemoteModels:
    """Has models loaded by engine replicas, `room` of them in each: an InstanceLoader."""

    def __init__(
        self,
        engines: DeploymentHandle,
        room: int,
        limits: InferenceLimits,
        workers: ThreadPoolExecutor,
        observer: Observer,
    ) -> None:
        self._engines = engines
        self._room = room
        self._limits = limits
        self._workers = workers
        self._observer = observer
        self._names: set[str] = set()
        self._by_key: dict[ModelKey, DeploymentHandle] = {}

    async def __call__(self, artefact: Artefact, model: Model) -> Segmenter:
        key = ModelKey(artefact.name, artefact.version, model.contract.digest)
        self._names.add(artefact.name)
        self._by_key[key] = self._engines.options(multiplexed_model_id=str(key))
        if has_room_for_all(len(self._names), self._room):
            await self._prepare_everywhere(key)
        try:
            prepared: Prepared = await result_of(self.where_it_is(key).prepare.remote(key))
        except EngineUnavailableError as error:
            raise CannotLoadError(str(error)) from error
        runner = RemoteRunner(self, key, prepared)
        return Segmenter(model, runner, self._limits, self._workers, self._observer)

    def where_it_is(self, key: ModelKey) -> DeploymentHandle:
        """The replicas that have the model: all, or those that Ray knows it to be at."""
        if has_room_for_all(len(self._names), self._room):
            return self._engines
        return self._by_key[key]

    async def _prepare_everywhere(self, key: ModelKey) -> None:
        """So that no image waits for it. What goes wrong, the replica that is asked next tells."""
        # where no replica runs yet: it loads what is in the store before it takes images
        with contextlib.suppress(DeploymentUnavailableError):
            await self._engines.broadcast("prepare", key).results_async(return_exceptions=True)


def has_room_for_all(models: int, room: int) -> bool:
    """Whether a replica holds them all, and a new version of one beside its old one."""
    return models < room


async def result_of(response: DeploymentResponse) -> Any:
    """Wait for what a replica gives, and cancel it there where the waiting is cancelled.

    Raises what the replica raised, and ModelUnavailableError where the replica was lost.
    """
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise
    except RayTaskError as error:
        if isinstance(error.cause, ServiceError | ContractError | EngineUnavailableError):
            raise error.cause from None
        log.exception("a replica failed")
        raise InferenceError(
            "The model failed on this image. The cause is in the server's log; if it fails again, "
            "tell the operator."
        ) from error
    except (RayError, RayServeException) as error:
        log.warning("a replica was lost: %s", type(error).__name__)
        raise ModelUnavailableError(
            "The machine that ran the model was lost. Send the image again.", LOST_RETRY_SECONDS
        ) from error


async def gather_families(
    *handles: DeploymentHandle,
) -> list[list[Metric]]:
    """The metrics of each replica of each deployment that answers."""
    asked: list[Coroutine[Any, Any, list[Any]]] = [
        handle.broadcast("families").results_async(timeout_s=5.0, return_exceptions=True)
        for handle in handles
    ]
    found = await asyncio.gather(*asked)
    return [families for answers in found for families in answers if isinstance(families, list)]
