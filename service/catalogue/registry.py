"""Which models and versions are loaded: load, warm, swap in between requests, drain, give the memory back.

All methods but those of the store run on the event loop, so that a request sees the old version or the new one, never
something between. One model is loaded at a time.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal

import watchfiles

from models.contract import ContractError
from service.catalogue.instance import CannotLoadError, InstanceLoader, InstanceT, RuntimeFacts
from service.catalogue.store import (
    Artefact,
    Selector,
    default_of,
    fingerprint_of,
    read_artefact,
    read_verified,
    scan,
)
from service.domain.errors import DeadlineExceededError, ModelUnavailableError, ServiceError
from service.domain.model import Model

State = Literal["loading", "ready", "failed", "draining", "unloaded"]

LOADING_RETRY_SECONDS = 5.0
FAILED_RETRY_SECONDS = 30.0

# The store is looked at this often even where nothing is told: notifications can be lost.
RESCAN_SECONDS = 10.0

log = logging.getLogger(__name__)


class UnknownModelError(ServiceError):
    """The store has no such model or version, or it is not one that is served."""


@dataclass(frozen=True)
class RegistryOptions:
    """`selection` empty serves every model of the store. `max_model_bytes` None sets no cap.

    With a cap, the least recently used model that no request is at is unloaded to make room, and loaded again when it
    is asked for. A model counts with the bytes of its files.
    """

    selection: tuple[Selector, ...] = ()
    default_model: Selector | None = None
    lazy: bool = False
    max_model_bytes: int | None = None
    watch: bool = True
    force_polling: bool = False


@dataclass(frozen=True)
class ModelState:
    """One version as an operator sees it. `error` tells why it, or what lies on disk in its place, does not serve."""

    name: str
    version: int
    state: State
    error: str | None
    model: Model | None
    card: str | None
    engine: RuntimeFacts | None
    size_bytes: int
    load_failures: int
    waiting_images: int
    waiting_bytes: int
    stuck_seconds: float

    @property
    def id(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass
class _Loaded(Generic[InstanceT]):
    """An instance and the number of requests at it."""

    instance: InstanceT
    leases: int = 0
    last_used: float = field(default_factory=time.monotonic)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> None:
        self.leases += 1
        self.released.clear()

    def give_back(self) -> None:
        self.leases -= 1
        self.last_used = time.monotonic()
        if self.leases == 0:
            self.released.set()


@dataclass
class _Slot(Generic[InstanceT]):
    """One version's place. `attempted_fingerprint` is the fingerprint at the last attempt: only a changed folder is tried again."""

    artefact: Artefact
    state: State = "loading"
    error: str | None = None
    attempted_fingerprint: str | None = None
    model: Model | None = None
    card: str | None = None
    loaded: _Loaded[InstanceT] | None = None
    on_demand: asyncio.Task[bool] | None = None
    load_failures: int = 0

    @property
    def can_serve(self) -> bool:
        return self.state in ("ready", "unloaded")


class Registry(Generic[InstanceT]):
    def __init__(
        self,
        store: Path,
        options: RegistryOptions,
        load_instance: InstanceLoader[InstanceT],
    ) -> None:
        self._store = store
        self._options = options
        self._load_instance = load_instance
        self._slots: dict[tuple[str, int], _Slot[InstanceT]] = {}
        self._one_load = asyncio.Lock()
        self._one_reconcile = asyncio.Lock()
        self._settled = asyncio.Event()
        self._stopping = asyncio.Event()
        self._run: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to load, and return at once."""
        self._run = asyncio.create_task(self._load_and_watch())
        self._run.add_done_callback(self._end_task)

    async def wait_until_settled(self) -> None:
        """Wait until every model was loaded or failed to."""
        await self._settled.wait()

    def begin_draining(self) -> None:
        """Be no longer ready, and serve on."""
        self._stopping.set()

    async def stop(self) -> None:
        """Finish what was accepted, and close every engine."""
        self.begin_draining()
        loads = [self._run, *(slot.on_demand for slot in self._slots.values())]
        running = [task for task in loads if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for slot in list(self._slots.values()):
            self._retire(slot)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def draining(self) -> bool:
        return self._stopping.is_set()

    @property
    def ready(self) -> bool:
        return not self.not_ready_reasons()

    def not_ready_reasons(self) -> list[str]:
        """What keeps the server from being ready, in sentences."""
        if self.draining:
            return ["The server is shutting down."]
        if not self._settled.is_set():
            loading = ", ".join(
                slot.artefact.id for slot in self._slots.values() if slot.state == "loading"
            )
            return [f"Still loading: {loading or 'the store'}."]
        absent = [wanted for wanted in self._options.selection if not self._serving(wanted)]
        if absent:
            return [
                f"{wanted} is to be served and is not loaded; see GET /models." for wanted in absent
            ]
        if not any(slot.can_serve for slot in self._slots.values()):
            return ["The store has no model that loads; see GET /models."]
        return []

    @property
    def default_name(self) -> str | None:
        """The model of requests that name none."""
        if self._options.default_model is not None:
            return str(self._options.default_model)
        if self._options.selection:
            return str(self._options.selection[0])
        return default_of({name for name, _ in self._slots})

    def states(self) -> list[ModelState]:
        return [_state_of(self._slots[key]) for key in sorted(self._slots)]

    def best_batch(self, selector: str | None) -> int:
        """Images that the model runs best at once; 1 while that is not known."""
        loaded = self._find(selector).loaded
        return loaded.instance.facts.best_batch if loaded is not None else 1

    def longest_batch_seconds(self) -> float:
        """Age of the oldest batch that an engine is still at."""
        return max((state.stuck_seconds for state in self.states()), default=0.0)

    def check(self, selector: str | None) -> str:
        """The id of the version that would answer. Raises UnknownModelError and ModelUnavailableError."""
        return self._find(selector).artefact.id

    @asynccontextmanager
    async def lease(
        self, selector: str | None, deadline: float | None
    ) -> AsyncGenerator[InstanceT]:
        """Hold an instance so that it is not closed meanwhile. `deadline` is in seconds of time.monotonic(), or None.

        None is the default model, "street" its newest version that serves, "street/1" that version. Raises
        UnknownModelError, ModelUnavailableError and, where the model is first to be loaded, DeadlineExceededError.
        """
        slot = self._find(selector)
        while slot.loaded is None:
            await self._load_on_demand(slot, deadline)
            slot = self._find(selector)
        loaded = slot.loaded
        loaded.take()
        try:
            yield loaded.instance
        finally:
            loaded.give_back()

    def _find(self, text: str | None) -> _Slot[InstanceT]:
        selector = self._parse(text)
        serving = self._serving(selector)
        if serving:
            return serving[0]
        matching = self._matching(selector)
        if matching:
            raise _unavailable(matching[0])
        if not self._settled.is_set():
            raise ModelUnavailableError(
                f"The models are being loaded. Try again in {LOADING_RETRY_SECONDS:.0f} s.",
                LOADING_RETRY_SECONDS,
            )
        raise UnknownModelError(
            f"There is no model {str(selector)!r}; this server has {self._list_of_models()}."
        )

    def _matching(self, selector: Selector) -> list[_Slot[InstanceT]]:
        """The versions that `selector` names, newest first."""
        return [
            slot
            for (name, version), slot in sorted(
                self._slots.items(), key=lambda item: item[0], reverse=True
            )
            if name == selector.name and selector.version in (None, version)
        ]

    def _serving(self, selector: Selector) -> list[_Slot[InstanceT]]:
        return [slot for slot in self._matching(selector) if slot.can_serve]

    def _parse(self, text: str | None) -> Selector:
        name = text if text is not None else self.default_name
        if name is None:
            raise ModelUnavailableError("The store holds no model yet.", FAILED_RETRY_SECONDS)
        try:
            return Selector.parse(name)
        except ValueError as error:
            raise UnknownModelError(f"{error}. This server has {self._list_of_models()}.") from None

    def _list_of_models(self) -> str:
        return (
            ", ".join(
                self._slots[key].artefact.id
                for key in sorted(self._slots)
                if self._slots[key].can_serve
            )
            or "none"
        )

    async def _load_and_watch(self) -> None:
        await self.reconcile()
        self._settled.set()
        while self._options.watch and not self.draining:
            try:
                await self._follow_changes()
            except OSError as error:
                # The store is gone, or the kernel has no watch left to give. What is loaded serves on.
                log.warning(
                    "the model store cannot be watched (%s); looking again in %d s",
                    error,
                    RESCAN_SECONDS,
                )
                await asyncio.sleep(RESCAN_SECONDS)
                await self.reconcile()

    async def _follow_changes(self) -> None:
        changes = watchfiles.awatch(
            self._store,
            watch_filter=None,
            stop_event=self._stopping,
            rust_timeout=int(RESCAN_SECONDS * 1000),
            yield_on_timeout=True,
            force_polling=self._options.force_polling or None,
        )
        async for _ in changes:
            await self.reconcile()

    async def reconcile(self) -> None:
        """Bring what is loaded in line with what the store holds."""
        async with self._one_reconcile:
            try:
                found = await asyncio.to_thread(scan, self._store)
            except OSError as error:
                log.error(
                    "the model store cannot be read (%s); what is loaded serves on",
                    type(error).__name__,
                )
                return
            wanted = self._options.selection or tuple(Selector(name) for name in found)
            candidates = [_candidates(selector, found) for selector in wanted]
            for selector, artefacts in zip(wanted, candidates, strict=True):
                if artefacts:
                    self._slot_for(artefacts[0])
                else:
                    log.warning("%s is to be served and is not in the store", selector)
            shown = [
                key
                for artefacts in candidates
                for key in await self._activate_first_working(artefacts)
            ]
            for key in self._slots.keys() - set(shown):
                self._retire(self._slots[key])

    def _slot_for(self, artefact: Artefact) -> _Slot[InstanceT]:
        return self._slots.setdefault((artefact.name, artefact.version), _Slot(artefact))

    async def _activate_first_working(self, artefacts: Iterable[Artefact]) -> list[tuple[str, int]]:
        """Make the first version that works serve. Give the keys of all that were looked at."""
        shown = []
        for artefact in artefacts:
            slot = self._slot_for(artefact)
            shown.append((artefact.name, artefact.version))
            if await self._ensure_loaded(slot, artefact):
                break
        return shown

    async def _ensure_loaded(self, slot: _Slot[InstanceT], artefact: Artefact) -> bool:
        """Try what is new on disk. True where the slot can serve, with it or with what it had."""
        if slot.attempted_fingerprint == artefact.fingerprint or slot.state == "draining":
            return slot.can_serve
        slot.artefact = artefact
        if self._loads_at_once(artefact):
            try:
                return await self._load(slot)
            except ModelUnavailableError:
                return slot.can_serve
        slot.attempted_fingerprint = artefact.fingerprint
        try:
            contract, slot.card = await asyncio.to_thread(read_artefact, artefact)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others serve on
            self._note_failure(slot, error)
            return slot.can_serve
        slot.model, slot.state, slot.error = Model(contract, artefact.version), "unloaded", None
        return True

    def _loads_at_once(self, artefact: Artefact) -> bool:
        """A model that is in use is always replaced by one that is loaded, so that no request waits for it."""
        if any(slot.loaded for (name, _), slot in self._slots.items() if name == artefact.name):
            return True
        return not self._options.lazy and self._has_room(artefact)

    async def _load(self, slot: _Slot[InstanceT]) -> bool:
        """Load beside what serves, warm, swap. True where the slot can serve after it."""
        async with self._one_load:
            artefact = slot.artefact
            slot.attempted_fingerprint = artefact.fingerprint
            if slot.loaded is None:
                slot.state = "loading"
            try:
                model, card, loaded = await self._load_and_warm(artefact)
            except ModelUnavailableError:  # no room now: each loaded model is at work
                slot.state = "ready" if slot.loaded else "unloaded"
                raise
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others serve on
                self._note_failure(slot, error)
                return slot.can_serve
            if self._slots.get((artefact.name, artefact.version)) is not slot:  # retired meanwhile
                self._spawn(self._close(loaded))
                return False
            before, slot.loaded = slot.loaded, loaded
            slot.model, slot.card, slot.state, slot.error = model, card, "ready", None
            facts = loaded.instance.facts
            log.info(
                "%s is ready on %s (%s, %s: %s)",
                artefact.id,
                facts.device,
                facts.name,
                facts.precision,
                facts.reason,
            )
            if before is not None:
                self._spawn(self._close(before))
            return True

    async def _load_and_warm(
        self, artefact: Artefact
    ) -> tuple[Model, str | None, _Loaded[InstanceT]]:
        log.info("loading %s", artefact.id)
        contract, card = await asyncio.to_thread(read_verified, artefact)
        await self._make_room(artefact)
        model = Model(contract, artefact.version)
        instance = await self._load_instance(artefact, model)
        try:
            await instance.warm_up()
            if (await asyncio.to_thread(fingerprint_of, artefact.path))[0] != artefact.fingerprint:
                raise ContractError("the folder changed while it was loaded; it is tried again")
        except BaseException:
            await instance.close()
            raise
        return model, card, _Loaded(instance)

    def _note_failure(self, slot: _Slot[InstanceT], error: Exception) -> None:
        known = isinstance(error, ContractError | CannotLoadError | ServiceError)
        slot.error = (
            str(error)
            if known
            else f"{type(error).__name__} while it was loaded; the server's log has more"
        )
        slot.load_failures += 1
        slot.state = "failed" if slot.loaded is None else "ready"
        log.error(
            "%s cannot be loaded: %s",
            slot.artefact.id,
            slot.error,
            exc_info=None if known else error,
        )

    async def _load_on_demand(self, slot: _Slot[InstanceT], deadline: float | None) -> None:
        if slot.on_demand is None:
            slot.on_demand = asyncio.create_task(self._load(slot))
            slot.on_demand.add_done_callback(partial(_end_on_demand, slot))
        task = slot.on_demand
        try:
            async with asyncio.timeout(None if deadline is None else deadline - time.monotonic()):
                could_load = await asyncio.shield(task)
        except TimeoutError:
            raise DeadlineExceededError(
                f"{slot.artefact.id} was still being loaded at the request's deadline. Try again."
            ) from None
        if not could_load:
            self._spawn(self.reconcile())  # an older version may work

    def _has_room(self, artefact: Artefact) -> bool:
        cap = self._options.max_model_bytes
        return cap is None or self._bytes_beside(artefact) + artefact.size_bytes <= cap

    def _bytes_beside(self, artefact: Artefact) -> int:
        """Bytes of what stays loaded once `artefact` serves: its other versions leave when it comes."""
        return sum(
            slot.artefact.size_bytes
            for (name, _), slot in self._slots.items()
            if slot.loaded is not None and name != artefact.name
        )

    async def _make_room(self, artefact: Artefact) -> None:
        cap = self._options.max_model_bytes
        if cap is not None and artefact.size_bytes > cap:
            raise CannotLoadError(
                f"its files are {artefact.size_bytes} bytes and SEGSERVE_MAX_MODEL_BYTES is {cap}; raise that setting"
            )
        while not self._has_room(artefact):
            await self._unload_least_recently_used(artefact)

    async def _unload_least_recently_used(self, instead_of: Artefact) -> None:
        idle = [
            (slot.loaded.last_used, slot)
            for (name, _), slot in self._slots.items()
            if slot.loaded is not None and slot.loaded.leases == 0 and name != instead_of.name
        ]
        if not idle:
            raise ModelUnavailableError(
                f"The memory for models is taken by others that are at work. Try again in {LOADING_RETRY_SECONDS:.0f} s.",
                LOADING_RETRY_SECONDS,
            )
        _, slot = min(idle, key=lambda pair: pair[0])
        loaded, slot.loaded, slot.state = slot.loaded, None, "unloaded"
        assert loaded is not None
        log.info("%s is unloaded to make room for %s", slot.artefact.id, instead_of.id)
        await self._close(loaded)

    def _retire(self, slot: _Slot[InstanceT]) -> None:
        """Let the slot serve no new request, and forget it when the last one is done."""
        key = (slot.artefact.name, slot.artefact.version)
        if slot.loaded is None:
            del self._slots[key]
        elif slot.state != "draining":
            slot.state = "draining"
            self._spawn(self._close_and_forget(key, slot.loaded))

    async def _close_and_forget(self, key: tuple[str, int], loaded: _Loaded[InstanceT]) -> None:
        try:
            await self._close(loaded)
        finally:
            del self._slots[key]
        log.info("%s/%d is unloaded", *key)
        if not self.draining:
            await self.reconcile()  # the version may have come back while it drained

    async def _close(self, loaded: _Loaded[InstanceT]) -> None:
        while loaded.leases > 0:
            await loaded.released.wait()
        await loaded.instance.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end_task)

    def _end_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the registry failed in the background", exc_info=error)


def _end_on_demand(slot: _Slot[Any], task: asyncio.Task[bool]) -> None:
    slot.on_demand = None
    if not task.cancelled():
        task.exception()  # told to those who still wait; where nobody does, it is no fault of the loop's


def _candidates(selector: Selector, found: dict[str, dict[int, Artefact]]) -> list[Artefact]:
    """What may serve `selector`, the most wanted first."""
    artefacts = found.get(selector.name, {})
    if selector.version is None:
        return [artefact for _, artefact in sorted(artefacts.items(), reverse=True)]
    return [artefacts[selector.version]] if selector.version in artefacts else []


def _unavailable(slot: _Slot[Any]) -> ModelUnavailableError:
    name = slot.artefact.id
    if slot.state == "loading":
        return ModelUnavailableError(
            f"{name} is being loaded. Try again in {LOADING_RETRY_SECONDS:.0f} s.",
            LOADING_RETRY_SECONDS,
        )
    if slot.state == "draining":
        return ModelUnavailableError(
            f"{name} is being unloaded; leave out the version.", LOADING_RETRY_SECONDS
        )
    return ModelUnavailableError(
        f"{name} could not be loaded; GET /models tells why.", FAILED_RETRY_SECONDS
    )


def _state_of(slot: _Slot[Any]) -> ModelState:
    instance = slot.loaded.instance if slot.loaded is not None else None
    return ModelState(
        name=slot.artefact.name,
        version=slot.artefact.version,
        state=slot.state,
        error=slot.error,
        model=slot.model,
        card=slot.card,
        engine=instance.facts if instance is not None else None,
        size_bytes=slot.artefact.size_bytes,
        load_failures=slot.load_failures,
        waiting_images=instance.waiting_images if instance is not None else 0,
        waiting_bytes=instance.waiting_bytes if instance is not None else 0,
        stuck_seconds=instance.stuck_seconds if instance is not None else 0.0,
    )
