"""The memory for models: which are in it, and which leave so that another one fits."""

import asyncio
from collections.abc import Callable, Collection
from typing import Generic

from service.catalogue.instance import CannotLoadError, InstanceT
from service.catalogue.slot import Resident
from service.catalogue.store import Artefact


class Residency(Generic[InstanceT]):
    """A model counts with the bytes of its files, from when it is loaded until it is closed.
    `max_bytes` None sets no cap. Used on the event loop only.
    """

    def __init__(self, max_bytes: int | None, evict: Callable[[Resident[InstanceT]], None]) -> None:
        """`evict` takes a resident out of service, has it drained and closed, and then `remove`s
        it.
        """
        self._max_bytes = max_bytes
        self._evict = evict
        self._staying: set[Resident[InstanceT]] = set()
        self._leaving: set[Resident[InstanceT]] = set()
        self._left = asyncio.Event()

    @property
    def all(self) -> Collection[Resident[InstanceT]]:
        """What is in memory, with what drains or is being closed."""
        return self._staying | self._leaving

    def add(self, resident: Resident[InstanceT]) -> None:
        self._staying.add(resident)

    def leave(self, resident: Resident[InstanceT]) -> None:
        """It serves no new request; its memory is not free yet."""
        self._staying.discard(resident)
        self._leaving.add(resident)

    def remove(self, resident: Resident[InstanceT]) -> None:
        self._leaving.discard(resident)
        self._left.set()

    async def make_room(
        self, artefact: Artefact, replaced: Callable[[], Collection[Resident[InstanceT]]]
    ) -> None:
        """Have the least recently used leave until `artefact` fits, and wait until they have.

        What is `replaced` does not count, for it leaves when `artefact` serves. One that is idle
        goes first, else one that is at work, once it is done. Raises CannotLoadError where
        `artefact` alone is over the cap.
        """
        if self._max_bytes is None:
            return
        if artefact.size_bytes > self._max_bytes:
            raise CannotLoadError(
                f"its files are {artefact.size_bytes} bytes and SEGSERVE_MAX_MODEL_BYTES is "
                f"{self._max_bytes}; raise that setting"
            )
        room = self._max_bytes - artefact.size_bytes
        while True:
            staying = self._staying - set(replaced())
            if _bytes_of(staying) > room:
                self._evict(
                    min(staying, key=lambda resident: (resident.leases > 0, resident.last_used))
                )
            elif _bytes_of(staying | self._leaving) > room:
                self._left.clear()
                await self._left.wait()
            else:
                return


def _bytes_of(residents: Collection[Resident[InstanceT]]) -> int:
    return sum(resident.artefact.size_bytes for resident in residents)
