"""How far the job at work is, and when it will be done."""

import time
from dataclasses import dataclass, field

_LEAST_SECONDS = 1.0  # before that a rate means nothing


@dataclass
class Progress:
    """Of a job since its worker took it up; what an earlier one had done counts as done, and not
    for the rate. `done` of `total` pixels; `total` 0 where that is not known yet.
    """

    started: float = field(default_factory=time.monotonic)
    noted: float = field(default_factory=time.monotonic)
    first: int | None = None
    done: int = 0
    total: int = 0

    def note(self, done: int, total: int) -> None:
        if self.first is None:
            self.first, self.started = done, time.monotonic()
        self.done, self.total, self.noted = done, total, time.monotonic()

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 0.0

    @property
    def pixels_per_second(self) -> float | None:
        seconds = self.noted - self.started
        if self.first is None or self.done <= self.first or seconds < _LEAST_SECONDS:
            return None
        return (self.done - self.first) / seconds

    @property
    def seconds_left(self) -> float | None:
        """None too where all is done but the files, which take time of their own."""
        rate = self.pixels_per_second
        if rate is None or self.done >= self.total:
            return None
        return (self.total - self.done) / rate
