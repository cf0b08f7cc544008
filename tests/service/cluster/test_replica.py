"""A replica without a cluster: what it does where a load does not end."""

import asyncio
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.contract import Contract, read_contract
from service.domain.errors import ModelUnavailableError
from service.runtimes.engine import Engine
from service.settings import Settings
from tests.service.inference.held_engine import HeldEngine

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]

TIMEOUT_SECONDS = 300.0


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, which imports Ray; Ray's multiplexer works in a replica of Ray's alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("ray.serve", reason="Ray is not installed; requirements/dev.txt has it")
        from service.cluster import engines
    monkeypatch.setattr(f"{engines.__name__}.serve.multiplexed", lambda **_: lambda load: load)
    return engines


@pytest.fixture
def go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_load_that_hangs_is_told_at_its_deadline_and_ends_the_replica_in_the_end(
    solvable_store: Path, engines: Any, go: threading.Event
) -> None:
    def load_engine(_artefact: Path, _contract: Contract) -> Engine:
        assert go.wait(TIMEOUT_SECONDS)
        return HeldEngine()

    settings = Settings(
        model_store=solvable_store,
        lazy_loading=True,
        load_timeout_seconds=0.05,
        stuck_after_seconds=0.05,
    )
    replica = engines.EngineReplica.__new__(engines.EngineReplica)
    await replica.__init__(settings, 1)  # as Ray Serve does
    replica.load_engine = load_engine
    digest = read_contract(solvable_store / "solvable" / "1").digest
    with pytest.raises(ModelUnavailableError, match=r"solvable/1 cannot be loaded: .* in 0\.05 s"):
        await replica.prepare(engines.ModelKey("solvable", 1, digest))
    await asyncio.sleep(2 * settings.stuck_after_seconds)
    with pytest.raises(engines.StuckError, match="a load goes on"):
        replica.check_health()
