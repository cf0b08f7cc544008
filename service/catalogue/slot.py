"""What is known of one version: how it lies on disk, what came of the last attempt, and what is
loaded.
"""

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import Generic, Literal

from service.catalogue.instance import Instance, InstanceT, RuntimeFacts
from service.catalogue.reconcile import Key, Known
from service.catalogue.store import Artefact
from service.domain.errors import ModelUnavailableError
from service.domain.model import Model

State = Literal["loading", "ready", "failed", "draining", "unloaded"]

LOADING_RETRY_SECONDS = 5.0
FAILED_RETRY_SECONDS = 30.0


@dataclass(frozen=True)
class ModelState:
    """One version as an operator sees it.

    `serves` says that requests for it are taken. `error` tells why it, or what lies on disk in its
    place, does not serve.
    """

    name: str
    version: int
    state: State
    serves: bool
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


@dataclass(eq=False)
class Resident(Generic[InstanceT]):
    """A loaded instance and the number of its users. It drains once its slot hands it to no new
    one.
    """

    artefact: Artefact
    instance: InstanceT
    leases: int = 0
    last_used: float = field(default_factory=time.monotonic)
    _unused: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> None:
        self.leases += 1
        self.last_used = time.monotonic()
        self._unused.clear()

    def give_back(self) -> None:
        self.leases -= 1
        self.last_used = time.monotonic()
        if self.leases == 0:
            self._unused.set()

    async def until_unused(self) -> None:
        if self.leases > 0:
            await self._unused.wait()


@dataclass(eq=False)
class Slot(Generic[InstanceT]):
    """One version's place.

    `tried` is the fingerprint of the folder at the last attempt, which may be repeated from
    `retry_at` on; `attempt` is the one that is under way. `model` is there once its contract was
    read. `failures` counts those since it last loaded, `load_failures` all of them.
    """

    artefact: Artefact
    model: Model | None = None
    card: str | None = None
    resident: Resident[InstanceT] | None = None
    attempt: asyncio.Task[None] | None = None
    is_loading: bool = False
    tried: str | None = None
    retry_at: float = math.inf
    error: str | None = None
    failures: int = 0
    load_failures: int = 0
    missing_since: float | None = None
    retired: bool = False
    _claims: list[asyncio.Future[Resident[InstanceT]]] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return self.artefact.name, self.artefact.version

    @property
    def serves(self) -> bool:
        """Whether it takes requests: it is loaded, or can be for one."""
        if self.retired:
            return False
        return self.resident is not None or (self.model is not None and self.error is None)

    @property
    def state(self) -> State:
        if self.retired:
            return "draining"
        if self.resident is not None:
            return "ready"
        if self.error is not None:
            return "failed"
        return "loading" if self.is_loading or self.model is None else "unloaded"

    def known(self) -> Known:
        held = self.resident.artefact if self.resident is not None else self.artefact
        return Known(
            tried=self.tried,
            retry_at=self.retry_at,
            serves=self.serves,
            loaded=self.resident is not None,
            asked_for=self.is_asked_for,
            busy=self.attempt is not None,
            retired=self.retired,
            missing_since=self.missing_since,
            bytes=held.size_bytes if self.resident is not None or self.is_loading else 0,
        )

    def claim(self) -> "asyncio.Future[Resident[InstanceT]]":
        """The instance, once there is one, with a lease of it for the caller."""
        claim: asyncio.Future[Resident[InstanceT]] = asyncio.get_running_loop().create_future()
        self._claims.append(claim)
        return claim

    @property
    def is_asked_for(self) -> bool:
        """Whether somebody waits for it to be loaded."""
        return any(not claim.done() for claim in self._claims)

    def put(self, resident: Resident[InstanceT]) -> Resident[InstanceT] | None:
        """Let `resident` serve, first those who wait for it; gives what served before."""
        before, self.resident = self.resident, resident
        claims, self._claims = self._claims, []
        for claim in claims:
            if not claim.done():
                resident.take()
                claim.set_result(resident)
        return before

    def take_out(self) -> Resident[InstanceT] | None:
        """What is loaded, which gets no new lease from here."""
        resident, self.resident = self.resident, None
        return resident

    def refuse(self) -> None:
        """Tell those who wait for it why they wait in vain."""
        claims, self._claims = self._claims, []
        for claim in claims:
            if not claim.done():
                claim.set_exception(self.unavailable())

    def unavailable(self) -> ModelUnavailableError:
        """Why it takes no request, and when to ask again."""
        name = self.artefact.id
        if self.state == "draining":
            return ModelUnavailableError(
                f"{name} is being unloaded; leave out the version.", LOADING_RETRY_SECONDS
            )
        if self.state == "failed":
            wait = self.retry_at - time.monotonic()
            return ModelUnavailableError(
                f"{name} could not be loaded; GET /models tells why.",
                max(1.0, wait) if wait < math.inf else FAILED_RETRY_SECONDS,
            )
        return ModelUnavailableError(
            f"{name} is being loaded. Try again in {LOADING_RETRY_SECONDS:.0f} s.",
            LOADING_RETRY_SECONDS,
        )

    def as_state(self) -> ModelState:
        instance: Instance | None = self.resident.instance if self.resident is not None else None
        return ModelState(
            name=self.artefact.name,
            version=self.artefact.version,
            state=self.state,
            serves=self.serves,
            error=self.error,
            model=self.model,
            card=self.card,
            engine=instance.facts if instance is not None else None,
            size_bytes=self.artefact.size_bytes,
            load_failures=self.load_failures,
            waiting_images=instance.waiting_images if instance is not None else 0,
            waiting_bytes=instance.waiting_bytes if instance is not None else 0,
            stuck_seconds=instance.stuck_seconds if instance is not None else 0.0,
        )
