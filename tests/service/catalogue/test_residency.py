import asyncio
from pathlib import Path

import pytest

from models.contract import read_contract
from service.catalogue.instance import CannotLoadError
from service.catalogue.residency import Residency
from service.catalogue.slot import Resident
from service.catalogue.store import Artefact
from service.domain.model import Model
from tests.service.catalogue.stubs import StubInstance, save_stub, until

pytestmark = pytest.mark.anyio

CAP = 100


class Memory:
    """A residency whose evicted models are gone when they are told to be."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.evicted: list[Resident[StubInstance]] = []
        self.residency: Residency[StubInstance] = Residency(CAP, self._evict)

    def _evict(self, resident: Resident[StubInstance]) -> None:
        self.residency.leave(resident)
        self.evicted.append(resident)

    def add(
        self, name: str, size: int, *, last_used: float = 0, leases: int = 0
    ) -> Resident[StubInstance]:
        described = artefact(name, size)
        resident = Resident(described, StubInstance(described, self._model))
        resident.last_used, resident.leases = last_used, leases
        self.residency.add(resident)
        return resident

    def make_room(self, size: int, *replaced: Resident[StubInstance]) -> asyncio.Task[None]:
        return asyncio.create_task(
            self.residency.make_room(artefact("new", size), lambda: replaced)
        )


@pytest.fixture
async def memory(tmp_path: Path) -> Memory:
    return Memory(Model(read_contract(save_stub(tmp_path)), 1))


def artefact(name: str, size: int) -> Artefact:
    return Artefact(name, 1, Path(name), "a", size)


async def test_nobody_leaves_where_there_is_room(memory: Memory) -> None:
    memory.add("a", 40)
    await memory.make_room(60)
    assert memory.evicted == []


async def test_the_least_recently_used_leaves_and_is_waited_for(memory: Memory) -> None:
    memory.add("young", 40, last_used=2)
    old = memory.add("old", 40, last_used=1)
    waiting = memory.make_room(50)
    await until(lambda: memory.evicted == [old])
    await asyncio.sleep(0.01)
    assert not waiting.done()
    memory.residency.remove(old)
    await waiting


async def test_who_is_at_work_leaves_last(memory: Memory) -> None:
    memory.add("at work", 40, last_used=1, leases=1)
    idle = memory.add("idle", 40, last_used=2)
    waiting = memory.make_room(50)
    await until(lambda: memory.evicted == [idle])
    memory.residency.remove(idle)
    await waiting


async def test_as_many_leave_as_must(memory: Memory) -> None:
    residents = [memory.add(name, 30) for name in "abc"]
    waiting = memory.make_room(70)
    await until(lambda: len(memory.evicted) == 2)
    for resident in memory.evicted:
        assert not waiting.done()
        memory.residency.remove(resident)
    await waiting
    assert sum(resident in memory.residency.all for resident in residents) == 1


async def test_what_is_replaced_does_not_count_and_does_not_leave_before(memory: Memory) -> None:
    before = memory.add("new", 80)
    await memory.make_room(90, before)
    assert memory.evicted == []


async def test_what_drains_already_is_waited_for_and_no_other_leaves(memory: Memory) -> None:
    leaving = memory.add("leaving", 60)
    memory.add("staying", 30)
    memory.residency.leave(leaving)
    waiting = memory.make_room(60)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    memory.residency.remove(leaving)
    await waiting
    assert memory.evicted == []


async def test_what_alone_is_over_the_cap_is_refused_and_nobody_leaves(memory: Memory) -> None:
    memory.add("a", 40)
    with pytest.raises(CannotLoadError, match="101 bytes and SEGSERVE_MAX_MODEL_BYTES is 100"):
        await memory.make_room(101)
    assert memory.evicted == []
