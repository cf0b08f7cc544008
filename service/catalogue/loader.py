"""Load a version: read and verify it, make room, load it, warm it up. One model at a time, and each
within a deadline.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from models.contract import ContractError
from service.catalogue.instance import CannotLoadError, InstanceLoader, InstanceT
from service.catalogue.overdue import Overdue, OverdueError
from service.catalogue.residency import Residency
from service.catalogue.slot import Resident
from service.catalogue.store import Artefact, fingerprint_of, read_artefact, read_verified
from service.domain.errors import ServiceError
from service.domain.model import Model
from service.threads import on_own_thread

# What failed for a reason that may pass is tried again so long after, and each time twice as long.
FIRST_RETRY_SECONDS = 5.0
MAX_RETRY_SECONDS = 300.0

CLOSE_SECONDS = 30.0

# So often it is looked whether a call that hangs in a closed engine has ended.
HANG_CHECK_SECONDS = 1.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class FolderChangedError(Exception):
    """The folder is not what it was when the attempt began."""


class Loader(Generic[InstanceT]):
    """Used on the event loop only."""

    def __init__(
        self,
        load_instance: InstanceLoader[InstanceT],
        residency: Residency[InstanceT],
        overdue: Overdue,
        timeout_seconds: float,
    ) -> None:
        self._load_instance = load_instance
        self._residency = residency
        self._overdue = overdue
        self._timeout_seconds = timeout_seconds
        self._one_at_a_time = asyncio.Lock()
        self._warming: set[InstanceT] = set()
        self._late: dict[tuple[str, str], InstanceT | None] = {}
        self._discarding: set[asyncio.Task[None]] = set()

    @property
    def stuck_seconds(self) -> float:
        """How long the longest batch of a warm-up has been running."""
        return max((instance.stuck_seconds for instance in self._warming), default=0.0)

    async def read(self, artefact: Artefact) -> tuple[Model, str | None]:
        """The model by its contract, and its card. Raises as `load` does."""
        give_up = time.monotonic() + self._timeout_seconds
        return await self._unless_changed(artefact, self._read(artefact, give_up, read_artefact))

    async def load(
        self, artefact: Artefact, replaced: Callable[[], Collection[Resident[InstanceT]]]
    ) -> tuple[Model, str | None, InstanceT]:
        """A warm instance of the model, and its card. `replaced` gives what leaves when it serves.

        Raises FolderChangedError, and whatever else keeps it from being loaded. Where that is an
        OverdueError, the instance is kept once it comes, for the next attempt.
        """
        async with self._one_at_a_time:
            return await self._unless_changed(artefact, self._load(artefact, replaced))

    def forget(self, artefact: Artefact, *, but_fingerprint: str | None = None) -> None:
        """Close what comes late, or has come, of the version's files as they were."""
        for key in [key for key in self._late if key[0] == artefact.id]:
            if key[1] != but_fingerprint:
                instance = self._late.pop(key)
                if instance is not None:
                    self._discard(instance)

    async def close(self, resident: Resident[InstanceT]) -> None:
        """Give it back once nobody uses it. One that does not close in time is left to itself."""
        await resident.until_unused()
        model_id = resident.artefact.id
        try:
            await self._overdue.within(
                CLOSE_SECONDS, self._close(resident), "it does not close", even_if_full=True
            )
        except OverdueError:
            log.error("%s did not close within %g s", model_id, CLOSE_SECONDS)
        except Exception:
            log.exception("%s failed while it was closed", model_id)

    async def _close(self, resident: Resident[InstanceT]) -> None:
        """Close it; while a call hangs in it, it has its memory still."""
        try:
            await resident.instance.close()
            while resident.instance.stuck_seconds > 0:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(HANG_CHECK_SECONDS)
        except Exception:
            self._residency.remove(resident)
            raise
        self._residency.remove(resident)

    async def _load(
        self, artefact: Artefact, replaced: Callable[[], Collection[Resident[InstanceT]]]
    ) -> tuple[Model, str | None, InstanceT]:
        log.info("loading %s", artefact.id)
        give_up = time.monotonic() + self._timeout_seconds
        key = artefact.id, artefact.fingerprint
        self.forget(artefact, but_fingerprint=artefact.fingerprint)
        late = self._late.get(key)
        model, card = await self._read(
            artefact, give_up, read_verified if late is None else read_artefact
        )
        try:
            async with asyncio.timeout(give_up - time.monotonic()):
                await self._residency.make_room(artefact, replaced)
        except TimeoutError:
            raise OverdueError(
                f"the models in memory were at work for {self._timeout_seconds:g} s, and none left "
                "to make room"
            ) from None
        self._late.pop(key, None)
        if late is not None:
            return model, card, late
        try:
            instance = await self._in_time(
                give_up,
                self._bring_up(artefact, model),
                "loaded and warm",
                partial(self._come_late, key),
            )
        except OverdueError as error:
            if error.work is not None:
                self._late[key] = None
            raise
        return model, card, instance

    async def _read(
        self,
        artefact: Artefact,
        give_up: float,
        read: Callable[[Artefact], tuple[Any, str | None]],
    ) -> tuple[Model, str | None]:
        reading = on_own_thread(partial(read, artefact), f"read-{artefact.id}")
        contract, card = await self._in_time(give_up, reading, "read")
        return Model(contract, artefact.version), card

    async def _bring_up(self, artefact: Artefact, model: Model) -> InstanceT:
        instance = await self._load_instance(artefact, model)
        self._warming.add(instance)
        try:
            await instance.warm_up()
            if await _fingerprint_now(artefact) != artefact.fingerprint:
                raise FolderChangedError
        except Exception:  # one that is cancelled may hang, and would hang again
            await instance.close()
            raise
        finally:
            self._warming.discard(instance)
        return instance

    async def _in_time(
        self,
        give_up: float,
        work: Coroutine[Any, Any, T],
        done: str,
        discard: Callable[[T], None] = lambda _: None,
    ) -> T:
        return await self._overdue.within(
            give_up - time.monotonic(),
            work,
            f"it was not {done} within {self._timeout_seconds:g} s; if that is too short, raise "
            "SEGSERVE_LOAD_TIMEOUT_SECONDS",
            discard,
        )

    async def _unless_changed(self, artefact: Artefact, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`. Raises FolderChangedError where it fails and the folder has changed: that is
        why.
        """
        try:
            return await work
        except (FolderChangedError, OverdueError):
            raise
        except Exception as error:
            give_up = time.monotonic() + self._timeout_seconds
            try:
                now = await self._in_time(give_up, _fingerprint_now(artefact), "read")
            except (OSError, OverdueError):
                raise error from None
            if now != artefact.fingerprint:
                raise FolderChangedError from error
            raise

    def _come_late(self, key: tuple[str, str], instance: InstanceT) -> None:
        if key in self._late:
            self._late[key] = instance
        else:
            self._discard(instance)

    def _discard(self, instance: InstanceT) -> None:
        task = asyncio.create_task(instance.close())
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)


async def _fingerprint_now(artefact: Artefact) -> str:
    looking = on_own_thread(partial(fingerprint_of, artefact.path), f"look-at-{artefact.id}")
    fingerprint, _ = await looking
    return fingerprint


def is_told(error: Exception) -> bool:
    """Whether the error's text is for whoever runs the server; others may hold anything."""
    return isinstance(error, ContractError | CannotLoadError | OverdueError | ServiceError)


def may_pass(error: Exception) -> bool:
    """Whether another attempt at the same files may succeed."""
    if isinstance(error, ContractError):
        return isinstance(error.__cause__, OSError)
    return not isinstance(error, CannotLoadError)


def retry_seconds(failures: int) -> float:
    """How long to wait after that many failures in a row."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 16), MAX_RETRY_SECONDS)
