"""Which batches run now: all models share the machine, in the order of asking."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

# Of the machine. A share of it is this divided by the number of those that share, rounded down.
WHOLE = 2**32


class DeviceScheduler:
    """Batches run beside each other while their shares of the machine are WHOLE at most together.

    Nobody overtakes: a batch that needs the whole machine gets it when those before it are done.
    Used on the event loop only.
    """

    def __init__(self) -> None:
        self._free = WHOLE
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def held(self, share: int, at_most_seconds: float) -> AsyncGenerator[None]:
        """Wait for a turn, and give it back at the end, or after `at_most_seconds`."""
        await self.acquire(share)
        has_it = True

        def give_back() -> None:
            nonlocal has_it
            if has_it:
                has_it = False
                self.release(share)

        timer = asyncio.get_running_loop().call_later(at_most_seconds, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()

    async def acquire(self, share: int) -> None:
        """Wait until `share` of the machine is free, and have it until it is given back."""
        if not self._waiters and share <= self._free:
            self._free -= share
            return
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((share, came))
        try:
            await came
        except asyncio.CancelledError:
            if not came.cancelled():
                self.release(share)  # it came in the same moment
            elif (share, came) in self._waiters:
                self._waiters.remove((share, came))
                self._wake_waiters()  # the next one may need less
            raise

    def release(self, share: int) -> None:
        self._free += share
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        while self._waiters and self._waiters[0][0] <= self._free:
            share, came = self._waiters.popleft()
            if not came.cancelled():
                self._free -= share
                came.set_result(None)
