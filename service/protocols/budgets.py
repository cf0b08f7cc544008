"""What a request may take: sizes, times, and its share of the memory for bodies and answers."""

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLimits:
    """Those of every request. A route whose body may be larger says so: `limits.body_limit`."""

    max_upload_bytes: int
    max_batch_upload_bytes: int
    max_held_upload_bytes: int
    max_held_answer_bytes: int
    upload_timeout_seconds: float
    request_timeout_seconds: float


class Budget:
    """Counts bytes that all requests hold together; `limit` is for whoever asks before it takes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._refused_at = -math.inf

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes more are within the limit. Notes it where they are not."""
        if self.held + size <= self.limit:
            return True
        self._refused_at = time.monotonic()
        return False

    def refused_within(self, seconds: float) -> bool:
        """Whether anybody found no room in the last `seconds`."""
        return time.monotonic() - self._refused_at < seconds


class Share:
    """What one request holds of a budget."""

    __slots__ = ("_budget", "held")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held = 0

    @property
    def limit(self) -> int:
        """That of the whole budget."""
        return self._budget.limit

    def has_room(self, size: int) -> bool:
        """As `Budget.has_room`."""
        return self._budget.has_room(size)

    def take(self, size: int) -> None:
        """Count `size` bytes more, whether there is room for them or not."""
        self.held += size
        self._budget.held += size

    def give_back(self, size: int) -> None:
        """No longer count `size` bytes, or what is held where that is less."""
        size = min(size, self.held)
        self.held -= size
        self._budget.held -= size

    def release(self) -> None:
        """Give all of it back."""
        self.give_back(self.held)
