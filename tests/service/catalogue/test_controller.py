"""What the catalogue does when loads fail, hang, come at once, or have their folder changed under
them.
"""

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from models.contract import ContractError, atomic
from service.catalogue import controller as controller_module
from service.catalogue import loader as loader_module
from service.catalogue import watcher
from service.catalogue.controller import Controller
from service.catalogue.instance import CannotLoadError
from service.catalogue.overdue import MAX_OVERDUE
from service.catalogue.reconcile import Policy
from service.catalogue.registry import Registry, RegistryOptions
from service.catalogue.slot import ModelState
from service.catalogue.store import Artefact, Found, Selector, scan
from service.domain.errors import DeadlineExceededError, ModelUnavailableError
from tests.service.catalogue.stubs import (
    TIMEOUT_SECONDS,
    StubInstance,
    StubLoader,
    nothing,
    save_stub,
    size_of,
    until,
)
from tests.service.catalogue.test_store import as_nobody, open_store

__all__ = ["open_store"]

pytestmark = pytest.mark.anyio


@pytest.fixture
def load() -> StubLoader:
    return StubLoader()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again soon, and nobody looks at the store unasked."""
    monkeypatch.setattr(loader_module, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(controller_module, "CHANGED_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(watcher, "RESCAN_SECONDS", 24 * 3600.0)


@asynccontextmanager
async def keeping_up(
    store: Path, load: StubLoader, policy: Policy | None = None, *, load_timeout: float = 60.0
) -> AsyncGenerator[Controller[StubInstance]]:
    """A controller that looks when it is told to."""
    controller = Controller(store, policy or Policy(), load, load_timeout)
    controller.start(watch=False, force_polling=False)
    try:
        yield controller
    finally:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await controller.stop()


@asynccontextmanager
async def serving(
    store: Path, load: StubLoader, options: RegistryOptions
) -> AsyncGenerator[Registry[StubInstance]]:
    registry = Registry(store, options, load)
    await registry.start()
    try:
        await registry.wait_until_settled()
        yield registry
    finally:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await registry.stop()


def state_of(catalogue: Controller[StubInstance], model_id: str = "m/1") -> ModelState | None:
    states = [slot.as_state() for slot in catalogue.slots.values()]
    return next((state for state in states if state.id == model_id), None)


def is_ready(catalogue: Controller[StubInstance], model_id: str = "m/1") -> bool:
    state = state_of(catalogue, model_id)
    return state is not None and state.state == "ready"


def failing(errors: list[Exception]) -> Callable[[Artefact], Awaitable[None]]:
    async def fail(_artefact: Artefact) -> None:
        if errors:
            raise errors.pop(0)

    return fail


def hanging(name: str, go: asyncio.Event) -> Callable[[Artefact], Awaitable[None]]:
    async def hang(artefact: Artefact) -> None:
        if artefact.name == name:
            await go.wait()

    return hang


@pytest.mark.parametrize(
    "error", [OSError(12, "Cannot allocate memory"), MemoryError(), RuntimeError("driver")]
)
async def test_a_load_that_failed_for_a_reason_that_may_pass_is_tried_again(
    tmp_path: Path, load: StubLoader, error: Exception
) -> None:
    save_stub(tmp_path)
    load.before = failing([error, error])
    async with keeping_up(tmp_path, load) as catalogue:
        await until(lambda: is_ready(catalogue))
        state = state_of(catalogue)
        assert state is not None
        assert (state.load_failures, state.error) == (2, None)


@pytest.mark.parametrize("error", [ContractError("not so"), CannotLoadError("not here")])
async def test_what_will_fail_again_is_tried_again_when_its_folder_has_changed(
    tmp_path: Path, load: StubLoader, error: Exception
) -> None:
    save_stub(tmp_path)
    load.before = failing([error])
    async with keeping_up(tmp_path, load) as catalogue:
        await catalogue.settled.wait()
        save_stub(tmp_path, "other")
        catalogue.rescan()
        await until(lambda: is_ready(catalogue, "other/1"))
        assert load.begun == ["m/1", "other/1"]
        assert not is_ready(catalogue)
        shutil.rmtree(tmp_path / "m" / "1")
        save_stub(tmp_path, content=b"b")
        catalogue.rescan()
        await until(lambda: is_ready(catalogue))


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ContractError("model.pb is missing; is the folder still being copied?"), "WARNING"),
        (CannotLoadError("this machine has no such engine"), "ERROR"),
        (RuntimeError("anything"), "ERROR"),
    ],
)
async def test_what_a_folder_lacks_while_it_is_copied_is_a_warning(
    tmp_path: Path,
    load: StubLoader,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    level: str,
) -> None:
    save_stub(tmp_path)
    load.before = failing([error])
    async with keeping_up(tmp_path, load) as catalogue:
        await catalogue.settled.wait()
    told = [one for one in caplog.records if "m/1 cannot be loaded" in one.message]
    assert [one.levelname for one in told] == [level]


async def test_a_contract_that_could_not_be_read_for_now_is_read_again(
    tmp_path: Path, load: StubLoader
) -> None:
    save_stub(tmp_path)
    unread = ContractError("contract.json cannot be read")
    unread.__cause__ = OSError(5, "Input/output error")
    load.before = failing([unread])
    async with keeping_up(tmp_path, load) as catalogue:
        await until(lambda: is_ready(catalogue))


async def test_callers_of_a_failed_model_are_told_when_it_is_tried_again(
    tmp_path: Path, load: StubLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_module, "FIRST_RETRY_SECONDS", 100.0)
    save_stub(tmp_path)
    load.before = failing([MemoryError()])
    async with serving(tmp_path, load, RegistryOptions(watch=False)) as registry:
        with pytest.raises(ModelUnavailableError) as told:
            registry.check("m")
        assert 90 < told.value.retry_after_seconds <= 100


def test_each_failure_doubles_the_wait_up_to_a_limit() -> None:
    waits = [loader_module.retry_seconds(failures) for failures in (1, 2, 3, 1000)]
    assert waits == [0.01, 0.02, 0.04, loader_module.MAX_RETRY_SECONDS]


async def test_a_folder_replaced_while_it_is_loaded_on_demand_is_loaded_as_it_is_then(
    tmp_path: Path, load: StubLoader
) -> None:
    save_stub(tmp_path)
    go = asyncio.Event()
    load.before = hanging("m", go)
    async with serving(tmp_path, load, RegistryOptions(lazy=True)) as registry:

        async def ask() -> bytes:
            async with registry.lease("m", None) as instance:
                return (instance.artefact.path / "saved_model.pb").read_bytes()[:1]

        asking = asyncio.create_task(ask())
        await until(lambda: load.begun == ["m/1"])
        shutil.rmtree(tmp_path / "m" / "1")
        save_stub(tmp_path, content=b"b")
        go.set()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert await asking == b"b"
        assert load.instances[0].is_closed
        assert registry.ready


async def test_a_version_that_is_away_between_two_renames_stays_loaded(
    tmp_path: Path, load: StubLoader
) -> None:
    version = save_stub(tmp_path)
    async with keeping_up(tmp_path, load) as catalogue:
        await until(lambda: is_ready(catalogue))
        (slot,) = catalogue.slots.values()
        away = version.rename(tmp_path / ".away")
        catalogue.rescan()
        await until(lambda: slot.missing_since is not None)
        away.rename(version)
        catalogue.rescan()
        await until(lambda: slot.missing_since is None)
        assert is_ready(catalogue)
        assert load.begun == ["m/1"]


class HeldPath(type(Path())):  # type: ignore[misc]
    """A path whose `rename` waits: the moment between the two renames of a replacement."""

    begun, go = threading.Event(), threading.Event()

    def rename(self, target: Path) -> Path:
        self.begun.set()
        assert self.go.wait(TIMEOUT_SECONDS)
        renamed: Path = super().rename(target)
        return renamed


async def test_a_version_seen_between_the_renames_of_a_replacement_serves_until_it_is_loaded_anew(
    tmp_path: Path, load: StubLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `segtrain quantize --replace` does it where two folders cannot change places at once."""
    store, place = tmp_path / "store", HeldPath
    monkeypatch.setattr(place, "begun", threading.Event())
    monkeypatch.setattr(place, "go", threading.Event())
    monkeypatch.setattr(
        atomic, "exchange", lambda one, other: atomic.exchange_by_renames(place(one), other)
    )
    version = save_stub(store)
    replacement = save_stub(tmp_path / "made", content=b"b")

    def replace() -> None:
        with atomic.replacing_folder(version) as folder:
            shutil.copytree(replacement, folder, dirs_exist_ok=True)

    async with keeping_up(store, load) as catalogue:
        await until(lambda: is_ready(catalogue))
        (slot,) = catalogue.slots.values()
        replacing = asyncio.create_task(asyncio.to_thread(replace))
        try:
            await until(place.begun.is_set)
            assert not version.exists()
            catalogue.rescan()
            await until(lambda: slot.missing_since is not None)
            assert is_ready(catalogue)
            assert not load.instances[0].is_closed
        finally:
            place.go.set()
            await replacing
        catalogue.rescan()
        await until(lambda: load.instances[0].is_closed)
        assert is_ready(catalogue)
        assert load.begun == ["m/1", "m/1"]


async def test_a_load_that_hangs_is_given_up_and_keeps_no_other_waiting(
    tmp_path: Path, load: StubLoader
) -> None:
    for name in ("a", "hangs", "z"):
        save_stub(tmp_path, name)
    go = asyncio.Event()
    load.before = hanging("hangs", go)
    async with keeping_up(tmp_path, load, load_timeout=0.3) as catalogue:
        await until(lambda: is_ready(catalogue, "a/1") and is_ready(catalogue, "z/1"))
        await catalogue.settled.wait()
        state = state_of(catalogue, "hangs/1")
        assert state is not None
        assert "within 0.3 s; if that is too short" in str(state.error)
        once = catalogue.stuck_seconds
        await until(lambda: catalogue.stuck_seconds > once > 0)
        go.set()
        await until(lambda: is_ready(catalogue, "hangs/1"))
        assert catalogue.stuck_seconds == 0
        # what came late is what serves, and nothing was begun a second time
        assert load.begun.count("hangs/1") == 1


async def test_what_comes_late_of_files_that_are_others_now_is_closed(
    tmp_path: Path, load: StubLoader
) -> None:
    save_stub(tmp_path)
    go = asyncio.Event()
    load.before = hanging("m", go)
    async with keeping_up(tmp_path, load, load_timeout=0.3) as catalogue:
        await until(lambda: "not loaded and warm" in _error(catalogue))
        shutil.rmtree(tmp_path / "m" / "1")
        save_stub(tmp_path, content=b"b")
        load.before = nothing
        catalogue.rescan()
        await until(lambda: is_ready(catalogue))
        go.set()
        await until(lambda: len(load.instances) == 2 and load.instances[1].is_closed)
        assert not load.instances[0].is_closed


async def test_what_comes_late_of_a_version_that_is_gone_is_closed(
    tmp_path: Path, load: StubLoader
) -> None:
    save_stub(tmp_path)
    go = asyncio.Event()
    load.before = hanging("m", go)
    async with keeping_up(tmp_path, load, load_timeout=0.3) as catalogue:
        await until(lambda: "not loaded and warm" in _error(catalogue))
        shutil.rmtree(tmp_path / "m")
        catalogue.rescan()
        await until(lambda: catalogue.slots == {})
        go.set()
        await until(lambda: len(load.instances) == 1 and load.instances[0].is_closed)


async def test_a_store_that_hangs_is_looked_at_once_and_again_when_it_answers(
    tmp_path: Path,
    load: StubLoader,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks, answer = list[Path](), threading.Event()

    def hang(store: Path) -> Found:
        looks.append(store)
        assert answer.wait(TIMEOUT_SECONDS)
        return scan(store)

    save_stub(tmp_path)
    async with keeping_up(tmp_path, load) as catalogue:
        await until(lambda: is_ready(catalogue))
        monkeypatch.setattr(controller_module, "scan", hang)
        monkeypatch.setattr(controller_module, "SCAN_SECONDS", 0.05)
        catalogue.rescan()
        await until(lambda: "it did not answer within 0.05 s" in caplog.text)
        catalogue.rescan()
        await asyncio.sleep(0.2)
        assert len(looks) == 1
        assert is_ready(catalogue)
        assert catalogue.stuck_seconds == 0  # a restart would not help
        save_stub(tmp_path, version=2)
        answer.set()
        await until(lambda: is_ready(catalogue, "m/2"))


async def test_a_warm_up_that_hangs_is_seen_before_it_is_given_up(
    tmp_path: Path, load: StubLoader
) -> None:
    save_stub(tmp_path)

    def hang(instance: StubInstance) -> None:
        instance.warm.clear()
        instance.stuck_seconds = 7.0

    load.change = hang
    async with keeping_up(tmp_path, load) as catalogue:
        await until(lambda: catalogue.stuck_seconds == 7.0)


async def test_the_loads_that_may_hang_are_bounded(tmp_path: Path, load: StubLoader) -> None:
    names = [f"m{number}" for number in range(MAX_OVERDUE + 1)]
    for name in names:
        save_stub(tmp_path, name)
    never = asyncio.Event()

    async def hang(_artefact: Artefact) -> None:
        await never.wait()

    load.before = hang
    async with keeping_up(tmp_path, load, load_timeout=0.2) as catalogue:
        await until(lambda: any("hang already" in _error(catalogue, f"{n}/1") for n in names))
        assert 0 < len(load.begun) <= MAX_OVERDUE


async def test_ending_waits_for_no_load_and_no_warm_up(tmp_path: Path, load: StubLoader) -> None:
    save_stub(tmp_path, "a")
    save_stub(tmp_path, "b")
    never = asyncio.Event()
    load.before = hanging("b", never)
    load.change = lambda instance: instance.warm.clear()
    async with keeping_up(tmp_path, load):
        await until(lambda: load.begun == ["a/1"])  # it warms up, and never ends
    load.change = lambda _: None
    async with keeping_up(tmp_path, load):
        await until(lambda: load.begun[-1] == "b/1")  # it loads, and never ends


async def test_an_instance_that_does_not_close_keeps_no_new_version_waiting(
    tmp_path: Path, load: StubLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_module, "CLOSE_SECONDS", 0.05)
    save_stub(tmp_path)
    load.change = lambda instance: instance.closing.clear()
    async with keeping_up(tmp_path, load) as catalogue:
        await until(lambda: is_ready(catalogue))
        save_stub(tmp_path, version=2)
        catalogue.rescan()
        await until(lambda: is_ready(catalogue, "m/2") and state_of(catalogue) is None)
        assert catalogue.stuck_seconds > 0
        for instance in load.instances:
            instance.closing.set()
        await until(lambda: catalogue.stuck_seconds == 0)


async def test_a_call_that_hangs_in_a_closed_instance_stays_visible(
    tmp_path: Path, load: StubLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_module, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(loader_module, "HANG_CHECK_SECONDS", 0.01)
    save_stub(tmp_path)
    async with keeping_up(tmp_path, load) as catalogue:
        await until(lambda: is_ready(catalogue))
        load.instances[0].stuck_seconds = 7.0
        save_stub(tmp_path, version=2)
        catalogue.rescan()
        await until(lambda: is_ready(catalogue, "m/2") and state_of(catalogue) is None)
        assert load.instances[0].is_closed
        assert catalogue.stuck_seconds == 7.0
        load.instances[0].stuck_seconds = 0.0
        await until(lambda: catalogue.stuck_seconds == 0)


async def test_a_version_that_goes_while_it_is_loaded_leaves_nothing_loaded(
    tmp_path: Path, load: StubLoader
) -> None:
    save_stub(tmp_path)
    go = asyncio.Event()
    load.before = hanging("m", go)
    async with keeping_up(tmp_path, load) as catalogue:
        await until(lambda: load.begun == ["m/1"])
        shutil.rmtree(tmp_path / "m")
        catalogue.rescan()
        await until(lambda: catalogue.slots == {})
        go.set()
        await until(lambda: len(load.instances) == 1 and load.instances[0].is_closed)


async def test_a_folder_that_cannot_be_read_leaves_the_others_and_is_told_once(
    open_store: Path, load: StubLoader, caplog: pytest.LogCaptureFixture
) -> None:
    save_stub(open_store, "good")
    save_stub(open_store, "private")
    (open_store / "private").chmod(0)
    for version in (2, 3):
        save_stub(open_store, "good", version).rename(open_store / "good" / f".{version}")
    (open_store / "good").chmod(0o777)
    with as_nobody():
        async with keeping_up(open_store, load) as catalogue:
            await until(lambda: is_ready(catalogue, "good/1"))
            for version in (2, 3):
                (open_store / "good" / f".{version}").rename(open_store / "good" / str(version))
                catalogue.rescan()
                await until(partial(is_ready, catalogue, f"good/{version}"))
    (open_store / "private").chmod(0o755)
    assert caplog.text.count("the folder private of the model store cannot be read") == 1


async def test_a_selected_model_that_is_not_in_the_store_is_logged_once(
    tmp_path: Path, load: StubLoader, caplog: pytest.LogCaptureFixture
) -> None:
    save_stub(tmp_path)
    policy = Policy((Selector("m"), Selector("absent")))
    sentence = "absent is to be served and is not in the store"
    async with keeping_up(tmp_path, load, policy) as catalogue:
        for version in (2, 3):
            await until(partial(is_ready, catalogue, f"m/{version - 1}"))
            save_stub(tmp_path, version=version)
            catalogue.rescan()
        await until(lambda: is_ready(catalogue, "m/3"))
        assert caplog.text.count(sentence) == 1
        save_stub(tmp_path, "absent")
        catalogue.rescan()
        await until(lambda: is_ready(catalogue, "absent/1"))
        shutil.rmtree(tmp_path / "absent")
        catalogue.rescan()
        await until(lambda: caplog.text.count(sentence) == 2)


async def test_two_models_asked_for_at_once_under_a_cap_for_one_are_both_served(
    tmp_path: Path, load: StubLoader
) -> None:
    size = size_of(save_stub(tmp_path, "a"))
    save_stub(tmp_path, "b")
    options = RegistryOptions(lazy=True, watch=False, max_model_bytes=int(1.5 * size))
    async with serving(tmp_path, load, options) as registry:
        served: list[str] = []

        async def client(name: str) -> None:
            for _ in range(10):
                async with registry.lease(name, None) as instance:
                    await asyncio.sleep(0.001)
                    assert not instance.is_closed
                    served.append(instance.artefact.name)
                in_memory = [each for each in load.instances if not each.is_closed]
                assert len(in_memory) <= 1

        async with asyncio.timeout(TIMEOUT_SECONDS):
            await asyncio.gather(*(client(name) for name in "ab" for _ in range(4)))
        assert sorted(served) == ["a"] * 40 + ["b"] * 40


async def test_who_waits_for_room_waits_no_longer_than_its_deadline(
    tmp_path: Path, load: StubLoader
) -> None:
    size = size_of(save_stub(tmp_path, "a"))
    save_stub(tmp_path, "b")
    options = RegistryOptions(lazy=True, watch=False, max_model_bytes=int(1.5 * size))
    async with serving(tmp_path, load, options) as registry:
        async with registry.lease("a", None) as at_work:
            with pytest.raises(DeadlineExceededError):
                async with registry.lease("b", time.monotonic() + 0.05):
                    pass
            assert not at_work.is_closed
        async with asyncio.timeout(TIMEOUT_SECONDS), registry.lease("b", None):
            assert at_work.is_closed


async def test_two_pinned_versions_of_one_model_keep_to_the_cap(
    tmp_path: Path, load: StubLoader
) -> None:
    size = size_of(save_stub(tmp_path))
    save_stub(tmp_path, version=2)
    selection = (Selector("m", 1), Selector("m", 2))
    options = RegistryOptions(selection=selection, watch=False, max_model_bytes=int(1.1 * size))
    async with serving(tmp_path, load, options) as registry:
        assert [state.state for state in registry.states()] == ["ready", "unloaded"]
        async with asyncio.timeout(TIMEOUT_SECONDS), registry.lease("m/2", None):
            assert [state.state for state in registry.states()] == ["unloaded", "ready"]
            assert load.instances[0].is_closed


async def test_a_request_that_leaves_as_its_model_is_loaded_holds_it_no_longer(
    tmp_path: Path, load: StubLoader
) -> None:
    save_stub(tmp_path)
    async with serving(tmp_path, load, RegistryOptions(lazy=True, watch=False)) as registry:

        async def ask() -> None:
            async with registry.lease("m", None):
                raise AssertionError("it was cancelled")

        def cancel_as_it_serves(instance: StubInstance) -> None:
            instance.on_facts = asking.cancel

        load.change = cancel_as_it_serves
        asking = asyncio.create_task(ask())
        await until(asking.done)
        assert asking.cancelled()
        assert registry.states()[0].state == "ready"
    assert load.instances[0].is_closed  # which waits for whoever holds it


def _error(catalogue: Controller[StubInstance], model_id: str = "m/1") -> str:
    state = state_of(catalogue, model_id)
    return str(state.error) if state is not None else ""
