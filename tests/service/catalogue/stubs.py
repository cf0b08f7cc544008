"""Models that load at once and compute nothing, for tests of what the catalogue does with them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from models.contract import file_digests, write_contract
from service.catalogue.instance import RuntimeFacts
from service.catalogue.store import Artefact
from service.domain.model import Model
from tests.solvable import contract_with

TIMEOUT_SECONDS = 300.0

FACTS = RuntimeFacts("stub", "it is a test", "CPU", "it is a test", "fp32", 4)


def save_stub(
    store: Path, name: str = "m", version: int = 1, *, content: bytes = b"a", size: int = 1000
) -> Path:
    """Write the artefact `<store>/<name>/<version>`, which appears by one rename."""
    part = store / ".partial"
    (part / "variables").mkdir(parents=True)
    (part / "saved_model.pb").write_bytes(content * size)
    contract = contract_with(name=name, ignore=255, architecture="stub", files=file_digests(part))
    write_contract(part, contract)
    (store / name).mkdir(exist_ok=True)
    return part.rename(store / name / str(version))


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class StubInstance:
    """`warm` and `closing` are waited for in the warm-up and in `close`. `on_facts` is called when
    its facts are asked for, which is first done as it begins to serve.
    """

    waiting_images = 0
    waiting_bytes = 0

    def __init__(self, artefact: Artefact, model: Model) -> None:
        self.artefact = artefact
        self.model = model
        self.stuck_seconds = 0.0
        self.warm = set_event()
        self.closing = set_event()
        self.is_closed = False
        self.on_facts: Callable[[], object] = lambda: None

    @property
    def facts(self) -> RuntimeFacts:
        self.on_facts()
        return FACTS

    async def warm_up(self) -> None:
        await self.warm.wait()

    async def close(self) -> None:
        await self.closing.wait()
        self.is_closed = True


class StubLoader:
    """`before` is awaited in each load, and may raise; `change` gets each new instance."""

    def __init__(self) -> None:
        self.before: Callable[[Artefact], Awaitable[None]] = nothing
        self.change: Callable[[StubInstance], None] = lambda _: None
        self.begun: list[str] = []
        self.instances: list[StubInstance] = []

    async def __call__(self, artefact: Artefact, model: Model) -> StubInstance:
        self.begun.append(artefact.id)
        await self.before(artefact)
        instance = StubInstance(artefact, model)
        self.change(instance)
        self.instances.append(instance)
        return instance


async def nothing(_artefact: Artefact) -> None:
    pass


def set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what is about to come."""
    give_up = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        await asyncio.sleep(0.005)
