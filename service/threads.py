"""Work that may hang, on threads that keep nobody waiting.

The threads of a ThreadPoolExecutor, that of asyncio too, are joined before the process ends: one that hangs in a driver or
on a network volume keeps the process for good. Those here are daemons.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _DaemonThread(threading.Thread):
    def __init__(self, name: str, target: Callable[[], None]) -> None:
        super().__init__(name=name, target=target, daemon=True)


class DaemonExecutor(Executor):
    """`workers` threads that take work in the order it comes."""

    def __init__(self, workers: int, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._workers = workers
        for number in range(workers):
            _DaemonThread(f"{name}-{number}", self._work).start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self._calls.put(lambda: _settle(future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Let the threads end when they have done what was submitted. It waits for none."""
        for _ in range(self._workers):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # its arguments may be large, and the next call may be long in coming


async def on_own_thread(work: Callable[[], T], name: str) -> T:
    """Run blocking `work` on a thread of its own. One that is cancelled goes on, and nobody learns its result."""
    loop = asyncio.get_running_loop()
    future: Future[T] = Future()
    _DaemonThread(name, lambda: _settle(future, work)).start()
    return await asyncio.wrap_future(future, loop=loop)


def unfinished_threads() -> list[str]:
    """The names of the threads above that have not ended: the interpreter must not be taken down beneath them."""
    return [thread.name for thread in threading.enumerate() if isinstance(thread, _DaemonThread)]


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - told to whoever waits for it
        future.set_exception(error)
    else:
        future.set_result(result)
