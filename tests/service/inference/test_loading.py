import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.contract import read_contract
from service.catalogue.instance import CannotLoadError
from service.catalogue.store import scan
from service.domain.model import Model
from service.inference.limits import InferenceLimits
from service.inference.loading import InProcessLoader
from service.runtimes.engine import EngineOptions

TIMEOUT_SECONDS = 300.0


@pytest.mark.anyio
async def test_what_no_engine_can_run_here_cannot_be_loaded(
    solvable_store: Path, workers: ThreadPoolExecutor
) -> None:
    artefact = scan(solvable_store).models["solvable"][1]
    model = Model(read_contract(artefact.path), 1)
    load = InProcessLoader(EngineOptions(precision="int8"), InferenceLimits(), workers)
    with pytest.raises(CannotLoadError, match="`segtrain quantize` makes them"):
        await load(artefact, model)


def test_a_process_ends_though_a_warm_up_hangs(solvable_store: Path) -> None:
    program = f"""
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from service.catalogue.registry import Registry, RegistryOptions
from service.inference.batching import Batcher
from service.inference.limits import InferenceLimits
from service.inference.scheduler import DeviceScheduler
from service.inference.segmenter import Segmenter
from tests.service.inference.held_engine import HeldEngine

hanging = threading.Event()

class HangingEngine(HeldEngine):
    def probabilities(self, images):
        hanging.set()
        threading.Event().wait()

async def load(artefact, model):
    batcher = Batcher.within(InferenceLimits(), model.id, HangingEngine(), DeviceScheduler())
    return Segmenter(model, batcher, InferenceLimits(), ThreadPoolExecutor(1))

async def main():
    registry = Registry(Path({str(solvable_store)!r}), RegistryOptions(watch=False), load)
    await registry.start()
    while not hanging.is_set():
        await asyncio.sleep(0.01)
    assert registry.stuck_seconds() > 0
    await registry.stop()

asyncio.run(main())
print("ended")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr
