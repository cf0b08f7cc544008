"""Which model answers a request: look-up and lease.

All of it runs on the event loop, so a request sees the old version or the new one, never something
between.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from service.catalogue.controller import Controller
from service.catalogue.instance import InstanceLoader, InstanceT
from service.catalogue.reconcile import Policy
from service.catalogue.slot import (
    FAILED_RETRY_SECONDS,
    LOADING_RETRY_SECONDS,
    ModelState,
    Resident,
    Slot,
)
from service.catalogue.store import Selector, default_of
from service.domain.deadline import seconds_left
from service.domain.errors import DeadlineExceededError, ModelUnavailableError, ServiceError


class UnknownModelError(ServiceError):
    """The store has no such model or version, or it is not one that is served."""

    @classmethod
    def among(cls, asked: str, served: str) -> "UnknownModelError":
        """Of what was asked for, and a list of what there is."""
        return cls(f"There is no model {asked[:80]!r}; this server has {served}.")


@dataclass(frozen=True)
class RegistryOptions:
    """`selection` empty serves every model of the store. `max_model_bytes` None sets no cap.

    With a cap, the least recently used model leaves to make room, and is loaded again when it is
    asked for. A model counts with the bytes of its files. `load_timeout_seconds` is what one load
    may take, from reading its files to the end of its warm-up.
    """

    selection: tuple[Selector, ...] = ()
    default_model: Selector | None = None
    lazy: bool = False
    max_model_bytes: int | None = None
    watch: bool = True
    force_polling: bool = False
    load_timeout_seconds: float = 300.0


class Registry(Generic[InstanceT]):
    def __init__(
        self, store: Path, options: RegistryOptions, load_instance: InstanceLoader[InstanceT]
    ) -> None:
        self._options = options
        self._controller = Controller(
            store,
            Policy(options.selection, options.lazy, options.max_model_bytes),
            load_instance,
            options.load_timeout_seconds,
        )
        self._slots = self._controller.slots
        self.draining = False

    async def start(self) -> None:
        """Begin to load, and return at once."""
        self._controller.start(watch=self._options.watch, force_polling=self._options.force_polling)

    async def wait_until_settled(self) -> None:
        """Wait until every model was loaded or failed to."""
        await self._controller.settled.wait()

    def begin_draining(self) -> None:
        """Be no longer ready, and serve on."""
        self.draining = True
        self._controller.freeze()

    async def stop(self) -> None:
        """Finish what was accepted, and close every instance."""
        self.begin_draining()
        await self._controller.stop()

    @property
    def ready(self) -> bool:
        return not self.not_ready_reasons()

    def not_ready_reasons(self) -> list[str]:
        """What keeps the server from being ready, in sentences."""
        if self.draining:
            return ["The server is shutting down."]
        if not self._controller.settled.is_set():
            loading = [slot.artefact.id for slot in self._slots.values() if slot.state == "loading"]
            return [f"Still loading: {', '.join(loading) or 'the store'}."]
        absent = [wanted for wanted in self._options.selection if not self._serving(wanted)]
        if absent:
            return [
                f"{wanted} is to be served and is not loaded; see GET /models." for wanted in absent
            ]
        if not self._slots:
            return ["The model store holds no model; the server's log says more."]
        if not any(slot.serves for slot in self._slots.values()):
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
        return [self._slots[key].as_state() for key in sorted(self._slots)]

    def best_batch(self, selector: str | None) -> int:
        """Images that the model runs best at once; 1 while that is not known."""
        resident = self._find(selector).resident
        return resident.instance.facts.best_batch if resident is not None else 1

    def stuck_seconds(self) -> float:
        """How long the longest piece of work goes on that cannot be ended: a batch of an engine, or
        what takes longer than a load may.
        """
        return self._controller.stuck_seconds

    def check(self, selector: str | None) -> str:
        """The id of the version that would answer. Raises UnknownModelError and
        ModelUnavailableError.
        """
        return self._find(selector).artefact.id

    @asynccontextmanager
    async def lease(
        self, selector: str | None, deadline: float | None
    ) -> AsyncGenerator[InstanceT]:
        """Hold an instance so that it is not closed meanwhile.

        `selector` None is the default model, "street" its newest version that serves, "street/1"
        that version. Raises UnknownModelError, ModelUnavailableError and, where the model is first
        to be loaded, DeadlineExceededError. `deadline` is in seconds of time.monotonic(), or None.
        """
        slot = self._find(selector)
        if slot.resident is not None:
            resident = slot.resident
            resident.take()
        else:
            resident = await self._once_loaded(slot, deadline)
        try:
            yield resident.instance
        finally:
            resident.give_back()

    async def _once_loaded(
        self, slot: Slot[InstanceT], deadline: float | None
    ) -> Resident[InstanceT]:
        """What is loaded for this request, among others, with a lease of it."""
        claim = slot.claim()
        self._controller.load_for_request(slot)
        try:
            async with asyncio.timeout(seconds_left(deadline)):
                return await claim
        except TimeoutError:
            _withdraw(claim)
            raise DeadlineExceededError(
                f"{slot.artefact.id} was still being loaded at the request's deadline. Try again."
            ) from None
        except asyncio.CancelledError:
            _withdraw(claim)
            raise

    def _find(self, text: str | None) -> Slot[InstanceT]:
        selector = self._parse(text)
        serving = self._serving(selector)
        if serving:
            return serving[0]
        matching = self._matching(selector)
        if matching:
            raise matching[0].unavailable()
        if not self._controller.settled.is_set():
            raise ModelUnavailableError(
                f"The models are being loaded. Try again in {LOADING_RETRY_SECONDS:.0f} s.",
                LOADING_RETRY_SECONDS,
            )
        raise UnknownModelError.among(str(selector), self._list_of_models())

    def _matching(self, selector: Selector) -> list[Slot[InstanceT]]:
        """The versions that `selector` names, newest first."""
        matching = [
            key
            for key in self._slots
            if key[0] == selector.name and selector.version in (None, key[1])
        ]
        return [self._slots[key] for key in sorted(matching, reverse=True)]

    def _serving(self, selector: Selector) -> list[Slot[InstanceT]]:
        return [slot for slot in self._matching(selector) if slot.serves]

    def _parse(self, text: str | None) -> Selector:
        name = text if text is not None else self.default_name
        if name is None:
            raise ModelUnavailableError("The store holds no model yet.", FAILED_RETRY_SECONDS)
        try:
            return Selector.parse(name)
        except ValueError as error:
            raise UnknownModelError(f"{error}. This server has {self._list_of_models()}.") from None

    def _list_of_models(self) -> str:
        serving = [slot.artefact.id for slot in self._slots.values() if slot.serves]
        return ", ".join(sorted(serving)) or "none"


def _withdraw(claim: "asyncio.Future[Resident[InstanceT]]") -> None:
    """Give the lease back where it came in the very moment in which nobody waited any more."""
    if claim.done() and not claim.cancelled() and claim.exception() is None:
        claim.result().give_back()
