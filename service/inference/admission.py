"""How many pictures are accepted and not yet answered: bounded in number and in bytes.

Admission is per picture, before it is decoded; its tiles need no further leave. So what is accepted
can be finished.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from service.domain.errors import QueueFullError

_REMEMBERED_ANSWERS = 32
_LEAST_RETRY_SECONDS = 1.0


class Place:
    """One accepted picture's share of the queue."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.bytes = 0
        self.answered = False

    def hold(self, size: int) -> None:
        """Take `size` more bytes. Raises QueueFullError if that is too much beside the others."""
        self._admission.hold(self, size)


class Admission:
    """Used on the event loop only."""

    def __init__(self, max_images: int, max_bytes: int) -> None:
        self._max_images = max_images
        self._max_bytes = max_bytes
        self.images = 0
        self.bytes = 0
        # The seconds between one answer and the next while there was work: what a place in the
        # queue really costs, whatever stage is the slow one and whichever other models share the
        # machine.
        self._intervals: deque[float] = deque([1.0], maxlen=_REMEMBERED_ANSWERS)
        self._last_answer = 0.0

    @contextmanager
    def enter(self) -> Iterator[Place]:
        """A place for the time of the block. Raises QueueFullError."""
        if self.images >= self._max_images:
            raise QueueFullError(
                f"{self.images} images are being processed, and no more than {self._max_images} "
                "are accepted at once. "
                "Try again after the time that Retry-After gives.",
                self.retry_after_seconds,
            )
        if self.images == 0:
            self._last_answer = time.monotonic()
        self.images += 1
        place = Place(self)
        try:
            yield place
        finally:
            self._leave(place)

    def hold(self, place: Place, size: int) -> None:
        # a picture alone is let through whatever its size, or it could never be answered
        if self.bytes + size > self._max_bytes and self.bytes > place.bytes:
            raise QueueFullError(
                f"The image needs {(place.bytes + size) / 2**20:,.1f} MiB, and the images being "
                "processed hold "
                f"{(self.bytes - place.bytes) / 2**20:,.1f} of {self._max_bytes / 2**20:,.1f} MiB. "
                "Try again after the time that Retry-After gives, or send it smaller.",
                self.retry_after_seconds,
            )
        place.bytes += size
        self.bytes += size

    def expect(self, seconds_per_image: float) -> None:
        """Set the pace to go by until answers have been counted."""
        self._intervals = deque([seconds_per_image], maxlen=_REMEMBERED_ANSWERS)

    @property
    def retry_after_seconds(self) -> float:
        """How long the pictures that are in now will take, at the pace of the last answers."""
        pace = sum(self._intervals) / len(self._intervals)
        return max(_LEAST_RETRY_SECONDS, self.images * pace)

    def _leave(self, place: Place) -> None:
        self.images -= 1
        self.bytes -= place.bytes
        if place.answered:
            now = time.monotonic()
            self._intervals.append(now - self._last_answer)
            self._last_answer = now
