"""Brings what is loaded in line with the store, step by step as `reconcile` says. What serves goes
on serving meanwhile.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Generic

from models.contract import ContractError
from service.catalogue.instance import InstanceLoader, InstanceT
from service.catalogue.loader import (
    FolderChangedError,
    Loader,
    is_told,
    may_pass,
    retry_seconds,
)
from service.catalogue.overdue import Overdue, OverdueError
from service.catalogue.reconcile import Action, Key, Load, Plan, Policy, Retire, reconcile
from service.catalogue.residency import Residency
from service.catalogue.slot import Resident, Slot
from service.catalogue.store import Found, complaints, scan
from service.catalogue.watcher import Watcher
from service.threads import on_own_thread

# After a fault of ours it is tried again.
LOOK_AGAIN_SECONDS = 10.0

# What a look at the store may take, the time of a stat a file.
SCAN_SECONDS = 30.0

# A folder that changes while it is loaded is most often still being written.
CHANGED_RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)

Attempt = Callable[[], Coroutine[Any, Any, None]]


class Controller(Generic[InstanceT]):
    """`slots` has every version that serves, could not be loaded, or is about to. Used on the event
    loop only.
    """

    def __init__(
        self,
        store: Path,
        policy: Policy,
        load_instance: InstanceLoader[InstanceT],
        load_timeout_seconds: float,
    ) -> None:
        self.slots: dict[Key, Slot[InstanceT]] = {}
        self.settled = asyncio.Event()
        self._store = store
        self._policy = policy
        self._overdue = Overdue()
        # Apart: a store that does not answer is no reason to restart what serves from memory.
        self._overdue_scans = Overdue()
        self._residency: Residency[InstanceT] = Residency(policy.max_bytes, self._evict)
        self._loader = Loader(load_instance, self._residency, self._overdue, load_timeout_seconds)
        self._found: Found | None = None
        self._said_of_store: set[str] = set()
        self._hanging_scan: asyncio.Task[Any] | None = None
        self._is_stale = True
        self._wake = asyncio.Event()
        self._complaints: set[str] = set()
        self._watcher: Watcher | None = None
        self._keeping_up: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_frozen = False

    def start(self, *, watch: bool, force_polling: bool) -> None:
        """Begin to load, and keep up with the store where `watch` says so."""
        self._keeping_up = asyncio.create_task(self._keep_up())
        if watch:
            self._watcher = Watcher(self._store, self.rescan, force_polling=force_polling)

    def rescan(self) -> None:
        """Look at the store, and begin what has to be done, soon."""
        self._is_stale = True
        self._wake.set()

    def freeze(self) -> None:
        """Let what is loaded be as it is. A model that is asked for is loaded still."""
        self._is_frozen = True
        if self._watcher is not None:
            self._watcher.stop()
        if self._keeping_up is not None:
            self._keeping_up.cancel()

    async def stop(self) -> None:
        """Close every instance once nobody uses it. What is being loaded is left to itself."""
        self.freeze()
        for slot in list(self.slots.values()):
            self._retire(slot)
        while self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def stuck_seconds(self) -> float:
        """How long the longest piece of work goes on that cannot be ended: a batch, or what is
        beyond its time.
        """
        batches = [resident.instance.stuck_seconds for resident in self._residency.all]
        return max(self._overdue.stuck_seconds, self._loader.stuck_seconds, *batches)

    def load_for_request(self, slot: Slot[InstanceT]) -> None:
        """Begin to load what a request waits for, where that is not being done."""
        if slot.attempt is None:
            self._begin(slot, partial(self._load, slot), is_loading=True)

    async def _keep_up(self) -> None:
        """Do what has to be done, whenever something has changed, until cancelled."""
        while True:
            self._wake.clear()
            try:
                look_again_at = await self._look()
            except Exception:
                log.exception("the models are not in line with the store; it is looked at again")
                look_again_at = time.monotonic() + LOOK_AGAIN_SECONDS
            try:
                async with asyncio.timeout(_seconds_until(look_again_at)):
                    await self._wake.wait()
            except TimeoutError:
                self._is_stale = self._is_stale or self._watcher is not None

    async def _look(self) -> float:
        """Begin the next steps. Gives when there may be more though nothing changes."""
        if self._is_stale:
            self._is_stale = False
            await self._scan()
        plan = self._plan()
        self._is_stale = self._is_stale or bool(plan.missing)  # a second look confirms it
        absent = {f"{wanted} is to be served and is not in the store" for wanted in plan.absent}
        self._complain(self._said_of_store | absent)
        for action in plan.actions:
            self._do(action)
        if not any(slot.attempt for slot in self.slots.values()):
            self.settled.set()
        return plan.look_again_at

    async def _scan(self) -> None:
        if self._hanging_scan is not None and not self._hanging_scan.done():
            return
        scanning = on_own_thread(partial(_scan_and_complain, self._store), "store-scan")
        try:
            self._found, self._said_of_store = await self._overdue_scans.within(
                SCAN_SECONDS, scanning, f"it did not answer within {SCAN_SECONDS:g} s"
            )
        except (OSError, OverdueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            if isinstance(error, OverdueError) and error.work is not None:
                self._hanging_scan = error.work
                error.work.add_done_callback(lambda _: self.rescan())
            self._said_of_store = {
                f"the model store cannot be read ({reason}); what is loaded serves on"
            }

    def _plan(self) -> Plan:
        if self._found is None:
            return Plan()
        now = time.monotonic()
        known = {key: slot.known() for key, slot in self.slots.items()}
        plan = reconcile(self._found, known, self._policy, now)
        for key, slot in self.slots.items():
            if key not in plan.missing:
                slot.missing_since = None
            elif slot.missing_since is None:
                slot.missing_since = now
        return plan

    def _complain(self, sentences: set[str]) -> None:
        """Log what is wrong, once for as long as it is."""
        for sentence in sorted(sentences - self._complaints):
            log.warning("%s", sentence)
        self._complaints = sentences

    def _do(self, action: Action) -> None:
        if isinstance(action, Retire):
            self._retire(self.slots[action.key])
            return
        artefact = action.artefact
        slot = self.slots.setdefault((artefact.name, artefact.version), Slot(artefact))
        if slot.tried != artefact.fingerprint:
            slot.failures = 0
        slot.artefact = artefact
        if isinstance(action, Load):
            self._begin(slot, partial(self._load, slot, action.replaces), is_loading=True)
        else:
            self._begin(slot, partial(self._read, slot), is_loading=False)

    def _begin(self, slot: Slot[InstanceT], attempt: Attempt, *, is_loading: bool) -> None:
        slot.tried, slot.retry_at, slot.is_loading = slot.artefact.fingerprint, math.inf, is_loading
        slot.attempt = self._spawn(self._attempt(slot, attempt))

    async def _attempt(self, slot: Slot[InstanceT], attempt: Attempt) -> None:
        try:
            await attempt()
        except FolderChangedError:
            await self._wait_for_folder(slot)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others serve on
            self._note_failure(slot, error)
        finally:
            slot.attempt, slot.is_loading = None, False
            self._wake.set()

    async def _wait_for_folder(self, slot: Slot[InstanceT]) -> None:
        """Have it tried as the folder is then. Those who ask for it wait on."""
        if self._is_frozen:
            slot.refuse()
            return
        await asyncio.sleep(CHANGED_RETRY_SECONDS)
        slot.retry_at = time.monotonic()
        self._is_stale = True

    async def _read(self, slot: Slot[InstanceT]) -> None:
        slot.model, slot.card = await self._loader.read(slot.artefact)
        slot.error = None
        if slot.is_asked_for:
            slot.is_loading = True
            await self._load(slot)

    async def _load(self, slot: Slot[InstanceT], replaces: Collection[Key] = ()) -> None:
        """Load beside what serves, and swap."""
        artefact = slot.artefact

        def replaced() -> list[Resident[InstanceT]]:
            leaving = [slot, *(self.slots[key] for key in replaces if key in self.slots)]
            return [other.resident for other in leaving if other.resident is not None]

        model, card, instance = await self._loader.load(artefact, replaced)
        slot.model, slot.card, slot.error, slot.failures = model, card, None, 0
        resident = Resident(artefact, instance)
        self._residency.add(resident)
        before = slot.put(resident)
        facts = instance.facts
        log.info(
            "%s is ready on %s (%s, %s: %s)",
            artefact.id,
            facts.device,
            facts.name,
            facts.precision,
            facts.reason,
        )
        if before is not None:
            self._let_go(before)

    def _note_failure(self, slot: Slot[InstanceT], error: Exception) -> None:
        known = is_told(error)
        slot.error = (
            str(error)
            if known
            else f"{type(error).__name__} while it was loaded; the server's log has more"
        )
        slot.failures += 1
        slot.load_failures += 1
        again, level = "", logging.ERROR
        if isinstance(error, OverdueError) and error.work is not None:
            fingerprint = slot.tried
            error.work.add_done_callback(lambda _: self._try_again(slot, fingerprint))
            again = "; it is tried again when that has ended"
        elif may_pass(error):
            seconds = retry_seconds(slot.failures)
            slot.retry_at = time.monotonic() + seconds
            again = f"; it is tried again in {seconds:g} s"
        elif isinstance(error, ContractError):
            level = logging.WARNING  # a folder that is copied file by file fails so at each of them
        log.log(
            level,
            "%s cannot be loaded: %s%s",
            slot.artefact.id,
            slot.error,
            again,
            exc_info=None if known else error,
        )
        slot.refuse()

    def _try_again(self, slot: Slot[InstanceT], fingerprint: str | None) -> None:
        """What hung has ended, well or not: try the version again, unless it has been meanwhile."""
        if slot.tried == fingerprint and slot.attempt is None:
            slot.retry_at = time.monotonic()
            self._wake.set()

    def _evict(self, resident: Resident[InstanceT]) -> None:
        """Unload it to make room: it is loaded again when it is asked for."""
        slot = self.slots[resident.artefact.name, resident.artefact.version]
        slot.take_out()
        log.info("%s is unloaded to make room", resident.artefact.id)
        self._let_go(resident)

    def _let_go(self, resident: Resident[InstanceT]) -> None:
        self._residency.leave(resident)
        self._spawn(self._loader.close(resident))

    def _retire(self, slot: Slot[InstanceT]) -> None:
        """Let the slot serve no new request, and forget it when the last one is done."""
        if slot.retired:
            return
        slot.retired = True
        slot.refuse()
        if slot.attempt is not None:
            slot.attempt.cancel()
        if slot.resident is not None:
            self._residency.leave(slot.resident)
        self._spawn(self._forget(slot))

    async def _forget(self, slot: Slot[InstanceT]) -> None:
        if slot.attempt is not None:
            await asyncio.wait([slot.attempt])
        if slot.resident is not None:
            await self._loader.close(slot.resident)
        self._loader.forget(slot.artefact)
        del self.slots[slot.key]
        log.info("%s is unloaded", slot.artefact.id)
        self._wake.set()  # the version may have come back meanwhile

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end_task)
        return task

    def _end_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the catalogue failed in the background", exc_info=error)


def _scan_and_complain(store: Path) -> tuple[Found, set[str]]:
    """What the store holds, and what is wrong with it."""
    found = scan(store)
    return found, set(complaints(store, found))


def _seconds_until(time_monotonic: float) -> float | None:
    return None if time_monotonic == math.inf else time_monotonic - time.monotonic()
