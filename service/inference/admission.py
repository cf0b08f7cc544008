"""How many pictures are accepted and not yet answered: bounded in number and in bytes.

Admission is before a picture is decoded; its tiles need no further leave. So what is accepted can
be finished.

Who finds no room is told to come back. That would keep a large picture out for ever where small
ones come and go, so it waits in a line instead, and nobody passes it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from service.domain.errors import QueueFullError

_REMEMBERED_ANSWERS = 32
_LEAST_RETRY_SECONDS = 1.0
_LARGE = 1 / 2  # of all bytes; what needs less finds room as soon as there is less to do


class Place:
    """One accepted request's share of the queue.

    `tell`, where somebody wants to know, is called with the pixels that are done, and all of them.
    """

    tell: Callable[[int, int], None] | None = None

    def __init__(self, admission: "Admission", images: int) -> None:
        self._admission = admission
        self.images = images
        self.bytes = 0
        self.answered = False

    def hold(self, size: int) -> None:
        """Take `size` more bytes. Raises QueueFullError if that is too much beside the others."""
        self._admission.hold(self, size)

    async def hold_in_turn(self, size: int) -> None:
        """As `hold`; what is large waits until there is room, and what comes after it waits too."""
        await self._admission.hold_in_turn(self, size)


class _Waiter(NamedTuple):
    place: Place
    size: int
    turn: asyncio.Future[None]


class Admission:
    """Used on the event loop only."""

    def __init__(self, max_images: int, max_bytes: int) -> None:
        self._max_images = max_images
        self._max_bytes = max_bytes
        self.images = 0
        self.bytes = 0
        self._line: deque[_Waiter] = deque()
        # The seconds between one answer and the next while there was work: what a place in the
        # queue really costs, whatever stage is the slow one and whichever other models share the
        # machine.
        self._intervals: deque[float] = deque([1.0], maxlen=_REMEMBERED_ANSWERS)
        self._last_answer = 0.0

    @contextmanager
    def enter(self, images: int = 1) -> Iterator[Place]:
        """A place for the time of the block. Raises QueueFullError."""
        if self.images + images > self._max_images:
            raise QueueFullError(
                f"{self.images} images are being processed, and no more than {self._max_images} "
                "are accepted at once. "
                "Try again after the time that Retry-After gives.",
                self.retry_after_seconds,
            )
        if self.images == 0:
            self._last_answer = time.monotonic()
        self.images += images
        place = Place(self, images)
        try:
            yield place
        finally:
            self._leave(place)

    def hold(self, place: Place, size: int) -> None:
        if not self._fits(place, size):
            raise QueueFullError(
                f"The image needs {(place.bytes + size) / 2**20:,.1f} MiB, and the images being "
                "processed hold "
                f"{(self.bytes - place.bytes) / 2**20:,.1f} of {self._max_bytes / 2**20:,.1f} MiB. "
                "Try again after the time that Retry-After gives, or send it smaller.",
                self.retry_after_seconds,
            )
        self._take(place, size)

    async def hold_in_turn(self, place: Place, size: int) -> None:
        is_large = size > _LARGE * self._max_bytes
        if not self._line and (self._fits(place, size) or not is_large):
            self.hold(place, size)
            return
        waiter = _Waiter(place, size, asyncio.get_running_loop().create_future())
        self._line.append(waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._line:
                self._line.remove(waiter)
                self._admit_waiters()  # the next one may need less
            raise

    def expect(self, seconds_per_image: float) -> None:
        """Set the pace to go by until answers have been counted."""
        self._intervals = deque([seconds_per_image], maxlen=_REMEMBERED_ANSWERS)

    @property
    def retry_after_seconds(self) -> float:
        """How long the pictures that are in now will take, at the pace of the last answers."""
        pace = sum(self._intervals) / len(self._intervals)
        return max(_LEAST_RETRY_SECONDS, self.images * pace)

    def _fits(self, place: Place, size: int) -> bool:
        # a picture alone is let through whatever its size, or it could never be answered
        return self.bytes + size <= self._max_bytes or self.bytes == place.bytes

    def _take(self, place: Place, size: int) -> None:
        place.bytes += size
        self.bytes += size

    def _admit_waiters(self) -> None:
        while self._line and self._fits(self._line[0].place, self._line[0].size):
            place, size, turn = self._line.popleft()
            if not turn.cancelled():
                self._take(place, size)
                turn.set_result(None)

    def _leave(self, place: Place) -> None:
        self.images -= place.images
        self.bytes -= place.bytes
        if place.answered:
            now = time.monotonic()
            self._intervals.append((now - self._last_answer) / place.images)
            self._last_answer = now
        self._admit_waiters()
