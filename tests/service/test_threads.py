import asyncio
import subprocess
import sys
import threading

import pytest

from service.threads import DaemonExecutor, on_own_thread, unfinished_threads

TIMEOUT_SECONDS = 300.0


def fail() -> None:
    raise ValueError("told to whoever waits")


def test_an_executor_does_what_comes_and_tells_what_went_wrong() -> None:
    executor = DaemonExecutor(2, "test")
    squares = [executor.submit(pow, number, 2) for number in range(20)]
    assert [square.result(TIMEOUT_SECONDS) for square in squares] == [n * n for n in range(20)]
    with pytest.raises(ValueError, match="told to"):
        executor.submit(fail).result(TIMEOUT_SECONDS)
    executor.shutdown()


def test_an_executor_runs_as_many_calls_beside_each_other_as_it_has_workers() -> None:
    executor = DaemonExecutor(2, "test")
    both = threading.Barrier(2)
    for call in [executor.submit(both.wait, TIMEOUT_SECONDS) for _ in range(2)]:
        call.result(TIMEOUT_SECONDS)
    executor.shutdown()


def test_threads_end_once_their_executor_is_shut_down_and_its_work_is_done() -> None:
    executor = DaemonExecutor(1, "short-lived")
    go = threading.Event()
    call = executor.submit(go.wait, TIMEOUT_SECONDS)
    (thread,) = (each for each in threading.enumerate() if each.name == "short-lived-0")
    executor.shutdown()
    assert "short-lived-0" in unfinished_threads(0)
    go.set()
    assert call.result(TIMEOUT_SECONDS)
    thread.join(TIMEOUT_SECONDS)
    assert "short-lived-0" not in unfinished_threads(0)


@pytest.mark.anyio
async def test_work_on_its_own_thread_gives_its_result_or_its_error() -> None:
    assert await on_own_thread(threading.get_ident, "test") != threading.get_ident()
    with pytest.raises(ValueError, match="told to"):
        await on_own_thread(fail, "test")


@pytest.mark.anyio
async def test_who_waits_can_leave_and_the_thread_goes_on() -> None:
    go = threading.Event()
    went_on = threading.Event()

    def work() -> None:
        go.wait(TIMEOUT_SECONDS)
        went_on.set()

    waiting = asyncio.create_task(on_own_thread(work, "test"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    assert await asyncio.to_thread(went_on.wait, TIMEOUT_SECONDS)


def test_work_that_never_ends_does_not_keep_the_process() -> None:
    program = """
import asyncio, threading
from service.threads import DaemonExecutor, on_own_thread

never = threading.Event()

async def main():
    DaemonExecutor(1, "engine").submit(never.wait)
    waiting = asyncio.create_task(on_own_thread(never.wait, "load"))
    await asyncio.sleep(0)
    waiting.cancel()

asyncio.run(main())
print("done")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    assert ended.stdout == "done\n"
    assert ended.stderr == ""
