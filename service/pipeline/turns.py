"""Which batches run now: all models share the machine, in the order of asking."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from fractions import Fraction

WHOLE = Fraction(1)


class Turns:
    """Batches run beside each other while their shares of the machine are 1 at most together.

    Nobody overtakes: a batch that needs the whole machine gets it when those before it are done. Used on the event
    loop only.
    """

    def __init__(self) -> None:
        self._free = WHOLE
        self._asking: deque[tuple[Fraction, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def turn(self, share: Fraction) -> AsyncGenerator[None]:
        """Wait for a turn, and give it back at the end."""
        await self.take(share)
        try:
            yield
        finally:
            self.give_back(share)

    async def take(self, share: Fraction) -> None:
        """Wait until `share` of the machine is free, and have it until it is given back."""
        if not self._asking and share <= self._free:
            self._free -= share
            return
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append((share, came))
        try:
            await came
        except asyncio.CancelledError:
            if not came.cancelled():
                self.give_back(share)  # it came in the same moment
            elif (share, came) in self._asking:
                self._asking.remove((share, came))
                self._hand_out()  # the next one may need less
            raise

    def give_back(self, share: Fraction) -> None:
        self._free += share
        self._hand_out()

    def _hand_out(self) -> None:
        while self._asking and self._asking[0][0] <= self._free:
            share, came = self._asking.popleft()
            if not came.cancelled():
                self._free -= share
                came.set_result(None)
