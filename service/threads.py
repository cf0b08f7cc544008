"""Work that may hang, on threads that keep nobody waiting.

The threads of a ThreadPoolExecutor, that of asyncio too, are joined before the process ends: one
that hangs in a driver or on a network volume keeps the process for good. Those here are daemons.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _DaemonThread(threading.Thread):
    pass


class DaemonExecutor(Executor):
    """`workers` threads that take work in the order it comes."""

    def __init__(self, workers: int, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._workers = workers
        for number in range(workers):
            start_daemon(self._work, f"{name}-{number}")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self.put(lambda: _settle(future, lambda: fn(*args, **kwargs)))
        return future

    def put(self, call: Callable[[], None]) -> None:
        """As `submit`, for what must not raise and tells its result by itself."""
        self._calls.put(call)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Let the threads end when they have done what was submitted. It waits for none."""
        for _ in range(self._workers):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # its arguments may be large, and the next call may be long in coming


def start_daemon(work: Callable[[], None], name: str) -> None:
    """Run `work`, which must not raise, on a thread that the process does not wait for."""
    _DaemonThread(name=name, target=work, daemon=True).start()


async def on_own_thread(work: Callable[[], T], name: str) -> T:
    """Run blocking `work` on a thread of its own. One that is cancelled goes on, and nobody learns
    its result.
    """
    loop = asyncio.get_running_loop()
    future: Future[T] = Future()
    start_daemon(lambda: _settle(future, work), name)
    return await asyncio.wrap_future(future, loop=loop)


def unfinished_threads(wait_seconds: float) -> list[str]:
    """The names of those of the threads above that do not end in that time: the interpreter must
    not be taken down beneath them.
    """
    give_up = time.monotonic() + wait_seconds
    threads = [thread for thread in threading.enumerate() if isinstance(thread, _DaemonThread)]
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    return [thread.name for thread in threads if thread.is_alive()]


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - told to whoever waits for it
        future.set_exception(error)
    else:
        future.set_result(result)
