"""How long a training still takes."""

import time


class Pace:
    """Counts the epochs of this session, from `done` of `epochs` on. What a session before took
    tells nothing of this machine."""

    def __init__(self, epochs: int, done: int) -> None:
        self._epochs, self._first, self._began = epochs, done, time.monotonic()
        self._said = self._began

    def left(self, done: int) -> str:
        """Such as "about 12 minutes left"; nothing after the last epoch, or before the first."""
        trained = done - self._first
        if trained <= 0 or done >= self._epochs:
            return ""
        seconds = (time.monotonic() - self._began) / trained * (self._epochs - done)
        if seconds < 90:
            return f"about {seconds:.0f} s left"
        if seconds < 5400:
            return f"about {seconds / 60:.0f} minutes left"
        return f"about {seconds / 3600:.1f} hours left"

    def said(self) -> None:
        """Something was told of the training."""
        self._said = time.monotonic()

    def is_quiet(self, seconds: float) -> bool:
        """Whether nothing was for that long."""
        return time.monotonic() - self._said >= seconds
