import asyncio
import shutil
from pathlib import Path

import pytest

from service.catalogue.loader import Loader
from service.catalogue.overdue import Overdue, OverdueError
from service.catalogue.residency import Residency
from service.catalogue.slot import Resident
from service.catalogue.store import Artefact, scan
from tests.service.catalogue.stubs import StubInstance, StubLoader, nothing, save_stub, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def artefact(tmp_path: Path) -> Artefact:
    save_stub(tmp_path)
    return scan(tmp_path).models["m"][1]


def nobody() -> list[Resident[StubInstance]]:
    return []


async def late_load(artefact: Artefact, load: StubLoader) -> Loader[StubInstance]:
    """A loader that gave up on `artefact`, which came after all."""
    go = asyncio.Event()

    async def hang(_artefact: Artefact) -> None:
        await go.wait()

    load.before = hang
    residency: Residency[StubInstance] = Residency(None, lambda _: None)
    overdue = Overdue()
    loader = Loader(load, residency, overdue, 1.0)
    while not load.begun:  # it may be the reading that takes too long
        with pytest.raises(OverdueError):
            await loader.load(artefact, nobody)
    go.set()
    await until(lambda: overdue.stuck_seconds == 0)
    return loader


async def test_what_came_late_is_what_the_next_attempt_gets(artefact: Artefact) -> None:
    load = StubLoader()
    loader = await late_load(artefact, load)
    model, _, instance = await loader.load(artefact, nobody)
    assert (instance, model.id) == (load.instances[0], "m/1")
    assert load.begun == ["m/1"]


async def test_what_came_late_is_closed_where_the_files_are_others_by_then(
    artefact: Artefact,
) -> None:
    load = StubLoader()
    loader = await late_load(artefact, load)
    store = artefact.path.parents[1]
    shutil.rmtree(artefact.path)
    save_stub(store, content=b"b")
    load.before = nothing
    _, _, instance = await loader.load(scan(store).models["m"][1], nobody)
    assert instance is not load.instances[0]
    await until(lambda: load.instances[0].is_closed)
