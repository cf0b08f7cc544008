"""How far a job of many images is."""

import sys
import time
from typing import Self

from tqdm import tqdm

PROGRESS_SECONDS = 30.0


class Progress:
    """A bar on a terminal, and a line now and then in a log: how many, how fast, how long still."""

    def __init__(
        self, total: int, unit: str = "image", *, scaled: bool = False, began_before: float = 0.0
    ) -> None:
        """It began so many seconds before."""
        # disable=None: no bar where standard error is no terminal
        self._bar = tqdm(total=total, unit=unit, unit_scale=scaled, disable=None)
        self._unit, self._scaled, self._began_with = unit, scaled, 0
        self._total, self._done = total, 0
        self._bar.start_t = getattr(self._bar, "start_t", 0.0) - began_before  # no bar has none
        self._told = time.monotonic()
        self._began = self._told - began_before

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def at(self, done: int, began_with: int) -> None:
        """So many are done, of which an earlier run did `began_with`."""
        self._bar.initial = began_with
        self._began_with = began_with
        self.advance(done - self._done)

    def say(self, what: str) -> None:
        """What is done now that all are."""
        if self._bar.disable:
            tqdm.write(what, file=sys.stderr)
        else:
            self._bar.set_postfix_str(what)

    def advance(self, images: int = 1) -> None:
        self._done += images
        self._bar.update(images)
        now = time.monotonic()
        if self._bar.disable and (now - self._told > PROGRESS_SECONDS or self._done == self._total):
            self._told = now
            line = tqdm.format_meter(
                self._done,
                self._total,
                now - self._began,
                unit=self._unit,
                unit_scale=self._scaled,
                initial=self._began_with,
                ncols=0,
            )
            tqdm.write(line.strip(), file=sys.stderr)
