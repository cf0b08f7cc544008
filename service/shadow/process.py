"""The process that runs the second version: the server's side of it.

A process of its own so that the second version gets what the machine has left, by the system's own
scheduler, and so that nothing that it does reaches a request.
"""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.comparison import Agreement
from service.inference.watching import SeenResult
from service.shadow.messages import Line, hear, say

# It is above this floor, and started by its name.
WORKER = "service.shadow_worker"

STEPS_BACK = True  # takes what the machine has left; beside other work that may be nothing

_END_SECONDS = 5.0


class ShadowLostError(Exception):
    """The process ended, did not begin, or was ended for it hung. The text says which."""


class ShadowProcess:
    """Used on one thread; its calls block."""

    def __init__(self, settings: dict[str, Any], model_id: str, seconds: float) -> None:
        """Start it, and wait until the model is loaded; `seconds` are for one picture, and for the
        load. Raises ShadowLostError.
        """
        self._seconds = seconds
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl+C at the terminal is for the server, which ends it
        )
        ready = self._ask({"settings": settings, "model": model_id, "steps_back": STEPS_BACK}, ())
        if "fault" in ready:
            self.close()
            raise ShadowLostError(ready["fault"])
        self.classes: list[str] = ready["classes"]

    def compare(self, result: SeenResult) -> tuple[Agreement, float] | None:
        """How its class map agrees with `result`, and its mean confidence; None where it cannot
        segment the picture. Raises ShadowLostError.
        """
        height, width = result.class_map.shape
        seen = {"page": result.info.page, "scale": result.scale, "intensity": result.intensity}
        line = {"height": height, "width": width, "options": seen}
        said = self._ask(line, (bytes(result.upload), result.class_map.tobytes()))
        if "fault" in said:
            return None
        counts: NDArray[np.int64] = np.array(said["counts"], np.int64)
        return Agreement(counts), said["confidence"]

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it at once; whoever waits for it goes on. On any thread."""
        self._process.kill()

    def _ask(self, line: Line, parts: tuple[bytes, ...]) -> Line:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._ended_after(self._seconds) as hung:
            try:
                say(self._process.stdin, line, parts)
                heard = hear(self._process.stdout)
            except OSError:
                heard = None
        if heard is None:
            self.close()
            how = f"it took more than {self._seconds:g} s" if hung else "it ended"
            raise ShadowLostError(how)
        return heard[0]

    @contextlib.contextmanager
    def _ended_after(self, seconds: float) -> Iterator[list[bool]]:
        hung: list[bool] = []

        def end() -> None:
            hung.append(True)
            self.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield hung
        finally:
            timer.cancel()
