"""Loading, swapping and unloading real models while the store changes."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.contract import CONTRACT_PATH, file_digests, read_contract, write_contract
from service.catalogue import watcher
from service.catalogue.registry import Registry, RegistryOptions, UnknownModelError
from service.catalogue.slot import ModelState
from service.catalogue.store import Selector, default_of
from service.domain.errors import DeadlineExceededError, ModelUnavailableError
from service.inference.inference import Answer, Inference
from service.inference.limits import InferenceLimits
from service.inference.loading import InProcessLoader
from service.inference.segmenter import Segmenter
from service.outputs import OUTPUTS
from service.runtimes.engine import EngineOptions
from tests.service.inference.always import Always
from tests.service.serving import TIMEOUT_SECONDS, picture, png_bytes

pytestmark = pytest.mark.anyio

BODY = png_bytes(picture(8, 8))


@pytest.fixture
def own_store(solvable_store: Path, tmp_path: Path) -> Path:
    """A store with `solvable/1` that the test may change."""
    store = tmp_path / "store"
    shutil.copytree(solvable_store / "solvable", store / "solvable")
    return store


@pytest.fixture(autouse=True)
def no_rescan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes is noticed because the watcher says so, not because somebody looks anyway."""
    monkeypatch.setattr(watcher, "RESCAN_SECONDS", 24 * 3600.0)
    monkeypatch.setattr(watcher, "RESTART_SECONDS", 0.1)


@asynccontextmanager
async def running(
    store: Path, engine: EngineOptions | None = None, **options: Any
) -> AsyncGenerator[Registry[Segmenter]]:
    with ThreadPoolExecutor(2) as workers:
        loader = InProcessLoader(engine or EngineOptions(), InferenceLimits(), workers)
        registry = Registry(store, RegistryOptions(**options), loader)
        await registry.start()
        try:
            await registry.wait_until_settled()
            yield registry
        finally:
            await registry.stop()


async def segment(registry: Registry[Segmenter], selector: str | None = None) -> Answer:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    png = OUTPUTS["png"]
    return await Inference(registry).segment(BODY, png, png.options(), deadline, model=selector)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def state_of(registry: Registry[Segmenter], model_id: str) -> ModelState | None:
    return next((state for state in registry.states() if state.id == model_id), None)


def is_in(registry: Registry[Segmenter], model_id: str, state: str | None) -> bool:
    found = state_of(registry, model_id)
    return (found.state if found is not None else None) == state


def add_version(store: Path, version: int, name: str = "solvable") -> Path:
    """Copy version 1 beside the store's folders and rename it into place, as an exporter does."""
    part = store.parent / f"part-{name}-{version}"
    shutil.copytree(store / name / "1", part)
    return part.rename(store / name / str(version))


def size_of(store: Path) -> int:
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


def break_contract(artefact: Path, **changes: Any) -> None:
    path = artefact / CONTRACT_PATH
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


async def test_the_newest_version_of_each_model_serves(
    own_store: Path, solvable_store: Path
) -> None:
    shutil.copytree(solvable_store / "gray", own_store / "gray")
    add_version(own_store, 12)
    add_version(own_store, 9)
    async with running(own_store, watch=False) as registry:
        assert [state.id for state in registry.states()] == ["gray/1", "solvable/12"]
        assert registry.check("solvable") == "solvable/12"
        assert registry.check(None) == "gray/1"
        assert registry.ready


async def test_a_selection_pins_a_version_and_leaves_out_the_rest(
    own_store: Path, solvable_store: Path
) -> None:
    shutil.copytree(solvable_store / "gray", own_store / "gray")
    add_version(own_store, 2)
    selection = (Selector.parse("solvable/1"),)
    async with running(own_store, watch=False, selection=selection) as registry:
        assert [state.id for state in registry.states()] == ["solvable/1"]
        assert registry.check(None) == "solvable/1"
        with pytest.raises(UnknownModelError, match="solvable/1"):
            registry.check("gray")
        with pytest.raises(UnknownModelError, match="'solvable/2'"):
            registry.check("solvable/2")


@pytest.mark.parametrize(
    "name", ["", "no model", "../etc", "street/", "street/x", "street/1/2", "street/٣"]
)
async def test_a_selector_that_is_none_is_refused(own_store: Path, name: str) -> None:
    async with running(own_store, watch=False, lazy=True) as registry:
        with pytest.raises(UnknownModelError, match="names no model"):
            registry.check(name)


async def test_a_new_version_is_swapped_in_and_the_old_one_given_back(own_store: Path) -> None:
    async with running(own_store) as registry:
        assert registry.check("solvable") == "solvable/1"
        add_version(own_store, 2)
        await until(lambda: registry.check("solvable") == "solvable/2")
        await until(lambda: is_in(registry, "solvable/1", None))
        assert (await segment(registry)).width == 8
        with pytest.raises(UnknownModelError, match="solvable/2"):
            registry.check("solvable/1")


async def test_requests_at_the_old_version_are_finished_before_it_goes(own_store: Path) -> None:
    async with running(own_store) as registry:
        async with registry.lease("solvable", None) as old:
            add_version(own_store, 2)
            await until(lambda: registry.check("solvable") == "solvable/2")
            assert is_in(registry, "solvable/1", "draining")
            with pytest.raises(ModelUnavailableError):
                registry.check("solvable/1")
            png = OUTPUTS["png"]
            answer = await Inference(Always(old)).segment(BODY, png, png.options(), None)
            assert answer.model_id == "solvable/1"
        await until(lambda: is_in(registry, "solvable/1", None))


async def test_a_store_on_a_network_volume_is_polled(own_store: Path) -> None:
    async with running(own_store, force_polling=True) as registry:
        add_version(own_store, 2)
        await until(lambda: is_in(registry, "solvable/2", "ready"))


async def test_a_half_copied_version_leaves_the_old_one_serving_until_it_is_whole(
    own_store: Path,
) -> None:
    async with running(own_store) as registry:
        half = own_store / "solvable" / "2"
        shutil.copytree(
            own_store / "solvable" / "1",
            half,
            ignore=shutil.ignore_patterns("contract.json", "variables"),
        )
        await until(lambda: is_in(registry, "solvable/2", "failed"))
        assert "contract.json" in str(_error(registry, "solvable/2"))
        assert registry.check("solvable") == "solvable/1"
        assert registry.ready
        shutil.copytree(own_store / "solvable" / "1" / "variables", half / "variables")
        shutil.copy(own_store / "solvable" / "1" / CONTRACT_PATH, half / CONTRACT_PATH)
        await until(lambda: registry.check("solvable") == "solvable/2")
        assert _error(registry, "solvable/2") is None


async def test_a_broken_newest_version_falls_back_at_the_start(own_store: Path) -> None:
    broken = add_version(own_store, 2)
    with (broken / "saved_model.pb").open("ab") as file:
        file.write(b"!")
    async with running(own_store, watch=False) as registry:
        assert is_in(registry, "solvable/2", "failed")
        assert "saved_model.pb differs from its digest" in str(_error(registry, "solvable/2"))
        assert registry.check("solvable") == "solvable/1"


async def test_a_version_that_is_overwritten_with_rubbish_serves_on_and_says_so(
    own_store: Path,
) -> None:
    async with running(own_store) as registry:
        whole = (own_store / "solvable" / "1" / CONTRACT_PATH).read_text()
        break_contract(own_store / "solvable" / "1", channels=7)
        await until(lambda: _error(registry, "solvable/1") is not None)
        assert is_in(registry, "solvable/1", "ready")
        assert (await segment(registry)).width == 8
        (own_store / "solvable" / "1" / CONTRACT_PATH).write_text(whole)
        await until(lambda: _error(registry, "solvable/1") is None)
        assert (await segment(registry)).width == 8


async def test_a_model_that_does_not_keep_its_contract_fails_at_the_warm_up(
    own_store: Path,
) -> None:
    artefact = own_store / "solvable" / "1"
    contract = read_contract(artefact)
    write_contract(artefact, contract.model_copy(update={"classes": contract.classes[:2]}))
    async with running(own_store, watch=False) as registry:
        assert is_in(registry, "solvable/1", "failed")
        assert "its contract has 2 classes" in str(_error(registry, "solvable/1"))
        assert not registry.ready


async def test_what_tensorflow_cannot_load_is_told_without_a_path(own_store: Path) -> None:
    artefact = own_store / "solvable" / "1"
    (artefact / "saved_model.pb").write_bytes(b"no graph")
    contract = read_contract(artefact)
    write_contract(artefact, contract.model_copy(update={"files": file_digests(artefact)}))
    async with running(own_store, watch=False) as registry:
        error = str(_error(registry, "solvable/1"))
        assert "the server's log has more" in error
        assert "/" not in error


async def test_a_folder_that_was_renamed_is_found_out(own_store: Path) -> None:
    (own_store / "solvable").rename(own_store / "other")
    async with running(own_store, watch=False) as registry:
        assert "rename the folder" in str(_error(registry, "other/1"))


async def test_what_is_no_model_is_passed_over(own_store: Path) -> None:
    (own_store / "README.md").write_text("models")
    (own_store / ".git" / "1").mkdir(parents=True)
    (own_store / "solvable" / "latest").mkdir()
    async with running(own_store, watch=False, lazy=True) as registry:
        assert [state.id for state in registry.states()] == ["solvable/1"]


async def test_a_model_that_is_removed_is_unloaded(own_store: Path) -> None:
    async with running(own_store) as registry:
        shutil.rmtree(own_store / "solvable")
        await until(lambda: registry.states() == [])
        assert not registry.ready


async def test_a_folder_that_is_no_store_makes_it_unready_and_the_log_says_which_is(
    own_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(own_store / "solvable") as registry:
        assert registry.not_ready_reasons() == [
            "The model store holds no model; the server's log says more."
        ]
    assert f"the store is {own_store}" in caplog.text


async def test_a_store_that_vanishes_leaves_what_is_loaded(
    own_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = own_store.with_name("elsewhere")
    async with running(own_store) as registry:
        shutil.move(own_store, elsewhere)
        await until(lambda: "the model store cannot be read" in caplog.text)
        assert (await segment(registry)).width == 8
        shutil.move(elsewhere, own_store)
        add_version(own_store, 2)
        await until(lambda: is_in(registry, "solvable/2", "ready"))
    assert caplog.text.count("the model store cannot be read") == 1


def test_requests_that_name_no_model_get_street_or_the_first_by_name() -> None:
    assert default_of({"nuclei", "street"}) == "street"
    assert default_of({"tiles", "cracks"}) == "cracks"
    assert default_of(()) is None


async def test_a_lazy_model_is_loaded_at_its_first_request(own_store: Path) -> None:
    async with running(own_store, watch=False, lazy=True) as registry:
        assert is_in(registry, "solvable/1", "unloaded")
        assert registry.ready
        answers = await asyncio.gather(*(segment(registry) for _ in range(5)))
        assert [answer.width for answer in answers] == [8] * 5
        assert is_in(registry, "solvable/1", "ready")


async def test_a_request_waits_for_its_lazy_model_no_longer_than_its_deadline(
    own_store: Path,
) -> None:
    async with running(own_store, watch=False, lazy=True) as registry:
        with pytest.raises(DeadlineExceededError):
            async with registry.lease(None, time.monotonic()):
                pass
        await until(lambda: is_in(registry, "solvable/1", "ready"))


async def test_a_lazy_model_that_turns_out_broken_gives_way_to_an_older_one(
    own_store: Path,
) -> None:
    broken = add_version(own_store, 2)
    (broken / "saved_model.pb").write_bytes(b"no graph")
    async with running(own_store, watch=False, lazy=True) as registry:
        assert registry.check("solvable") == "solvable/2"
        with pytest.raises(ModelUnavailableError):
            await segment(registry)
        await until(lambda: is_in(registry, "solvable/1", "unloaded"))
        assert (await segment(registry)).width == 8


async def test_beyond_the_memory_cap_the_least_recently_used_model_makes_room(
    own_store: Path, solvable_store: Path
) -> None:
    shutil.copytree(solvable_store / "gray", own_store / "gray")
    size = size_of(own_store)
    async with running(own_store, watch=False, max_model_bytes=size - 1) as registry:
        assert is_in(registry, "gray/1", "ready")
        assert is_in(registry, "solvable/1", "unloaded")
        assert (await segment(registry, "solvable")).width == 8
        assert is_in(registry, "gray/1", "unloaded")
        assert (await segment(registry, "gray")).width == 8
        assert is_in(registry, "solvable/1", "unloaded")


async def test_a_model_at_work_makes_room_once_it_is_done(
    own_store: Path, solvable_store: Path
) -> None:
    shutil.copytree(solvable_store / "gray", own_store / "gray")
    size = size_of(own_store)
    async with running(own_store, watch=False, max_model_bytes=size - 1) as registry:
        async with registry.lease("gray", None) as gray:
            other = asyncio.create_task(segment(registry, "solvable"))
            await until(lambda: is_in(registry, "gray/1", "unloaded"))
            png = OUTPUTS["png"]
            with gray.admission.enter() as place:
                answer = await gray.segment(BODY, png, png.options(), None, place)
            assert answer.width == 8
            assert not other.done()
        assert (await other).width == 8


async def test_a_model_over_the_cap_by_itself_is_refused(own_store: Path) -> None:
    async with running(own_store, watch=False, max_model_bytes=1000) as registry:
        with pytest.raises(ModelUnavailableError):
            await segment(registry)
        assert "SEGSERVE_MAX_MODEL_BYTES is 1000" in str(_error(registry, "solvable/1"))


async def test_draining_makes_it_unready_and_serves_on(own_store: Path) -> None:
    async with running(own_store) as registry:
        registry.begin_draining()
        assert not registry.ready
        assert "shutting down" in registry.not_ready_reasons()[0]
        assert (await segment(registry)).width == 8


async def test_hot_swaps_under_load_fail_no_request(own_store: Path) -> None:
    async with running(own_store) as registry:
        stop = asyncio.Event()

        async def load() -> int:
            count = 0
            while not stop.is_set():
                answer = await segment(registry)
                assert answer.encoded.media_type == "image/png"
                count += 1
            return count

        clients = [asyncio.create_task(load()) for _ in range(6)]
        for version in (2, 3, 4):
            add_version(own_store, version)
            await until(partial(is_in, registry, f"solvable/{version}", "ready"))
        await until(lambda: is_in(registry, "solvable/3", None))
        stop.set()
        counts = await asyncio.gather(*clients)
        assert np.sum(counts) > 0
        assert registry.check(None) == "solvable/4"


def _error(registry: Registry[Segmenter], model_id: str) -> str | None:
    state = state_of(registry, model_id)
    return state.error if state is not None else None


async def test_a_model_that_the_wanted_engine_cannot_run_says_so(own_store: Path) -> None:
    async with running(own_store, engine=EngineOptions(precision="int8")) as registry:
        (state,) = registry.states()
    assert state.state == "failed"
    assert state.error is not None
    assert "`segtrain quantize` makes them" in state.error
