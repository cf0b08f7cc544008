"""A few things at once, in order, with bounded memory, and gone at Ctrl-C."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from models.contract.cores import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """`map` by threads (default: one a core), never more than two results a thread ahead of the
    caller.

    Threads are enough: Pillow decodes and hashlib hashes without the interpreter's lock.
    """
    workers = workers or available_cores()
    rest = iter(items)
    pool = ThreadPoolExecutor(workers)
    try:
        ahead: deque[Future[Result]] = deque(
            pool.submit(function, item) for item in islice(rest, 3 * workers)
        )
        while ahead:
            result = ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
