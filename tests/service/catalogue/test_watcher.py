"""Notifications where nobody looks anyway, and looking anyway where there are no notifications."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from service.catalogue import watcher
from service.catalogue.watcher import Watcher
from tests.service.catalogue.stubs import until

pytestmark = pytest.mark.anyio

NEVER_SECONDS = 24 * 3600.0


class UnderlyingWatcherError(RuntimeError):
    """As the library's own are, it is no OSError."""


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


@contextmanager
def watching(store: Path, *, force_polling: bool = False) -> Iterator[Counter]:
    counter = Counter()
    running = Watcher(store, counter, force_polling=force_polling)
    try:
        yield counter
    finally:
        running.stop()


async def notices(counter: Counter, change: Callable[[], object]) -> None:
    before = counter.calls
    change()
    await until(lambda: counter.calls > before)


@pytest.fixture
def no_rescan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "RESCAN_SECONDS", NEVER_SECONDS)
    monkeypatch.setattr(watcher, "RESTART_SECONDS", 0.01)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    (store / "m" / "1").mkdir(parents=True)
    return store


@pytest.mark.usefixtures("no_rescan")
@pytest.mark.parametrize("force_polling", [False, True])
async def test_it_tells_of_each_change(store: Path, force_polling: bool) -> None:
    with watching(store, force_polling=force_polling) as counter:
        await until(lambda: counter.calls == 1)  # it watches
        await notices(counter, lambda: (store / "m" / "2").mkdir())
        await notices(counter, lambda: (store / "m" / "2" / "file").write_text("new"))
        if not force_polling:  # who polls compares times of whole seconds
            await notices(counter, lambda: (store / "m" / "2" / "file").write_text("newer"))
        await notices(counter, lambda: (store / "m" / "2" / "file").unlink())


@pytest.mark.usefixtures("no_rescan")
async def test_what_came_before_it_watched_is_told_too(store: Path) -> None:
    with watching(store) as counter:
        await until(lambda: counter.calls > 0)


@pytest.mark.usefixtures("no_rescan")
async def test_a_store_that_is_another_folder_now_is_watched_in_its_place(store: Path) -> None:
    with watching(store) as counter:
        await until(lambda: counter.calls == 1)
        await notices(counter, lambda: store.rename(store.with_name("old")))
        await asyncio.to_thread(store.mkdir)
        for name in "abcd":  # the first may be told of because it begins to watch
            await notices(counter, (store / name).mkdir)


@pytest.mark.usefixtures("no_rescan")
@pytest.mark.parametrize("error", [UnderlyingWatcherError("lost"), OSError(28, "no watch left")])
async def test_any_error_of_the_watcher_restarts_it(
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    watch, failures = watchfiles.watch, [error] * 3

    def fail_at_first(*arguments: Any, **options: Any) -> Any:
        if failures:
            yield set()
            raise failures.pop()
        yield from watch(*arguments, **options)

    monkeypatch.setattr(watchfiles, "watch", fail_at_first)
    with watching(store) as counter:
        # each failure is told of when it began to watch and when it ended, the last time once
        await until(lambda: counter.calls == 2 * 3 + 1)
        await notices(counter, lambda: (store / "m" / "2").mkdir())
    assert caplog.text.count("cannot be watched") == 1


async def test_the_rescan_goes_on_where_the_watcher_is_broken(
    store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise UnderlyingWatcherError("lost")

    monkeypatch.setattr(watchfiles, "watch", broken)
    monkeypatch.setattr(watcher, "RESTART_SECONDS", NEVER_SECONDS)
    monkeypatch.setattr(watcher, "RESCAN_SECONDS", 0.01)
    with watching(store) as counter:
        await until(lambda: counter.calls > 5)
        await until(lambda: "cannot be watched (lost)" in caplog.text)
    await asyncio.sleep(0.02)
    stopped_at = counter.calls
    await asyncio.sleep(0.1)
    assert counter.calls <= stopped_at + 1
