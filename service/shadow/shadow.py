"""A second version that a share of the pictures is run on too, after the first has answered.

What it says is counted and compared, and nobody waits for it: pictures go into a short queue, and
those that find it full are dropped.
"""

import logging
import queue
import threading
from dataclasses import replace
from typing import Any, Literal, Protocol

from service.capture.policies import DISAGREEMENT
from service.capture.writer import Capture
from service.domain.comparison import Agreement
from service.domain.segmentation import Need
from service.inference.watching import SeenResult
from service.shadow.process import ShadowLostError, ShadowProcess

_MOST_WAITING = 8
_MOST_WAITING_BYTES = 64 * 2**20
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 5.0, 300.0

ShadowDrop = Literal["busy", "failed"]

log = logging.getLogger(__name__)


class ShadowObserver(Protocol):
    """Called on any thread; returns at once, and does not raise."""

    def shadowed(
        self, model_id: str, shadow_id: str, agreement: Agreement, confidence: float
    ) -> None:
        """One picture, how both versions agree on it, and the second's mean confidence."""
        ...

    def shadow_agreement(self, model_id: str, shadow_id: str, agreement: Agreement) -> None:
        """Of all pictures since the start."""
        ...

    def shadow_dropped(self, reason: ShadowDrop) -> None:
        """A picture of its share was not run: others wait, or the second version failed on it."""
        ...


class Shadow:
    """A Watcher that runs `share` of the pictures that other versions of `model_id`'s model answer.

    Those on which the versions differ as much as the policy says go to `capture`.
    """

    need: Need = "class_map"

    def __init__(
        self,
        model_id: str,
        share: float,
        settings: dict[str, Any],
        seconds: float,
        observer: ShadowObserver,
        capture: Capture | None,
    ) -> None:
        """`settings` are the server's; `seconds` are what a load or one picture may take."""
        self._id, self._share = model_id, share
        self._name = model_id.partition("/")[0]
        self._settings, self._seconds = settings, seconds
        self._observer, self._capture = observer, capture
        self._lock = threading.Lock()
        self._due = 0.0
        self._waiting_bytes = 0
        self._waiting: queue.Queue[SeenResult | None] = queue.Queue(_MOST_WAITING)
        self._totals: dict[str, Agreement] = {}
        self._process: ShadowProcess | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run_all, name="shadow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Drop what waits, and end the process. Blocks."""
        self._ending.set()
        process = self._process
        if process is not None:
            process.kill()
        self._thread.join(5.0)

    def see(self, result: SeenResult) -> str | None:
        """As `Watcher.see` says; it keeps nothing."""
        if result.model.contract.name != self._name or result.model.id == self._id:
            return None
        size = len(result.upload) + result.class_map.nbytes
        with self._lock:
            self._due += self._share
            if self._due < 1:
                return None
            self._due -= 1
            is_full = self._waiting.full() or self._waiting_bytes + size > _MOST_WAITING_BYTES
            if not is_full:
                self._waiting_bytes += size
                own = replace(
                    result,
                    upload=bytes(result.upload),
                    class_map=result.class_map.copy(),
                )
                self._waiting.put_nowait(own)
        if is_full:
            self._observer.shadow_dropped("busy")
        return None

    def _run_all(self) -> None:
        wait = _FIRST_RETRY_SECONDS
        while not self._ending.is_set():
            try:
                self._process = ShadowProcess(self._settings, self._id, self._seconds)
                wait = _FIRST_RETRY_SECONDS
                self._run_until_lost(self._process)
            except ShadowLostError as error:
                if not self._ending.is_set():
                    log.error("the shadow %s is lost: %s; again in %g s", self._id, error, wait)
            except Exception:
                log.exception("the shadow %s failed; again in %g s", self._id, wait)
            if self._process is not None:
                self._process.close()
                self._process = None
            self._ending.wait(wait)
            wait = min(2 * wait, _LAST_RETRY_SECONDS)

    def _run_until_lost(self, process: ShadowProcess) -> None:
        while not self._ending.is_set():
            try:
                result = self._waiting.get(timeout=0.5)
            except queue.Empty:
                continue
            if result is None:
                continue
            with self._lock:
                self._waiting_bytes -= len(result.upload) + result.class_map.nbytes
            try:
                self._run(process, result)
            except ShadowLostError:
                self._observer.shadow_dropped("failed")
                raise

    def _run(self, process: ShadowProcess, result: SeenResult) -> None:
        names = [one.name for one in result.model.contract.classes]
        said = process.compare(result) if names == process.classes else None
        if said is None:
            self._observer.shadow_dropped("failed")
            return
        agreement, confidence = said
        model_id = result.model.id
        total = self._totals.get(model_id, Agreement.none(len(names))) + agreement
        self._totals[model_id] = total
        self._observer.shadowed(model_id, self._id, agreement, confidence)
        self._observer.shadow_agreement(model_id, self._id, total)
        differs = 1 - agreement.equal_share
        if self._capture is not None and self._capture.wants_disagreement(differs):
            self._capture.keep(
                result,
                DISAGREEMENT,
                shadow=self._id,
                differs=round(differs, 4),
                shadow_confidence=round(confidence, 4),
            )
