"""Keeps pictures beside the requests that bring them: what is chosen goes into a bounded queue, and
a thread of its own writes it.
"""

import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.capture.folder import CaptureFolder, new_id
from service.capture.policies import DISAGREEMENT, Policies
from service.domain.classes import bands, palette
from service.domain.model import Model
from service.domain.segmentation import Need
from service.inference.watching import SeenResult
from service.inputs import INPUTS
from service.outputs.png import INDEXED, write_png

_MOST_WAITING = 32
_MOST_WAITING_BYTES = 128 * 2**20
_SAY_EVERY_SECONDS = 60.0
_STOP_SECONDS = 5.0

CaptureDrop = Literal["rate", "queue", "disk"]

log = logging.getLogger(__name__)


class CaptureObserver(Protocol):
    """Called on any thread; returns at once, and does not raise."""

    def captured(self, model_id: str, policy: str) -> None: ...

    def capture_dropped(self, reason: CaptureDrop) -> None:
        """A picture that a policy chose was not kept: one came just before, too many wait to be
        written, or the disk did not take it.
        """
        ...

    def capture_bytes(self, size: int) -> None:
        """What is kept takes so much now."""
        ...


@dataclass(frozen=True)
class _Waiting:
    model: Model
    id: str
    policy: str
    picture: bytes
    type: str
    class_map: NDArray[np.uint8]
    note: dict[str, Any]

    @property
    def size(self) -> int:
        return len(self.picture) + self.class_map.nbytes


class Capture:
    """A Watcher that keeps what its policies choose, one picture in `pause_seconds` at most."""

    def __init__(
        self,
        folder: CaptureFolder,
        policies: Policies,
        pause_seconds: float,
        observer: CaptureObserver,
    ) -> None:
        self.folder = folder
        self.policies = policies
        self._pause_seconds = pause_seconds
        self._observer = observer
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(_MOST_WAITING)
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._last = -float("inf")
        self._told = -float("inf")
        self._thread = threading.Thread(target=self._write_all, name="capture", daemon=True)

    @property
    def need(self) -> Need:
        return self.policies.need

    def start(self) -> None:
        self._observer.capture_bytes(self.folder.bytes)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, for a while. Blocks."""
        try:
            self._waiting.put(None, timeout=_STOP_SECONDS)
        except queue.Full:
            return  # the disk hangs
        self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self.folder.close()

    def see(self, result: SeenResult) -> str | None:
        """As `Watcher.see` says."""
        policy = self.policies.first_that_keeps(result)
        return None if policy is None else self.keep(result, policy)

    def keep(self, result: SeenResult, policy: str, **more: Any) -> str | None:
        """Keep a picture for a policy that chose it, with `more` in its note. On any thread."""
        size = len(result.upload) + result.class_map.nbytes
        with self._lock:
            now = time.monotonic()
            if now - self._last < self._pause_seconds:
                self._observer.capture_dropped("rate")
                return None
            if self._waiting_bytes + size > _MOST_WAITING_BYTES:
                self._observer.capture_dropped("queue")
                return None
            self._last = now
            self._waiting_bytes += size
        id = new_id()
        item = _Waiting(
            result.model,
            id,
            policy,
            bytes(result.upload),
            result.type,
            result.class_map.copy(),
            _note(result, id, policy) | more,
        )
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self._let_go(item)
            self._observer.capture_dropped("queue")
            return None
        return id

    def wants_disagreement(self, share: float) -> bool:
        """Whether a picture is to be kept on whose pixels two versions differ by this share."""
        least = self.policies.numbers.get(DISAGREEMENT)
        return least is not None and share >= least

    def _write_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._write(item)
                self._observer.captured(item.model.id, item.policy)
            except Exception as error:  # noqa: BLE001 - it concerns this picture alone
                self._observer.capture_dropped("disk")
                self._tell(error)
            self._let_go(item)
            self._observer.capture_bytes(self.folder.bytes)

    def _write(self, item: _Waiting) -> None:
        height, width = item.class_map.shape
        rows = (item.class_map[band] for band in bands(height, width))
        colors = palette(item.model.contract)
        mask = b"".join(write_png(height, width, INDEXED, rows, colors))
        suffix = INPUTS[item.type].suffixes[0]
        name = item.model.contract.name
        self.folder.add(name, item.id, item.picture, suffix, mask, item.note)

    def _let_go(self, item: _Waiting) -> None:
        with self._lock:
            self._waiting_bytes -= item.size

    def _tell(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._told > _SAY_EVERY_SECONDS:
            self._told = now
            log.error("a picture was not kept in %s: %s", self.folder.path, error)


def _note(result: SeenResult, id: str, policy: str) -> dict[str, Any]:
    names = [one.name for one in result.model.contract.classes]
    shares = zip(names, result.observation.class_shares, strict=True)
    return {
        "id": id,
        "model": result.model.id,
        "digest": result.model.contract.digest[:16],
        "policy": policy,
        "file_name": result.info.file_name,
        **result.info.place(),
        "scale": result.scale,
        "intensity": result.intensity,
        "height": result.class_map.shape[0],
        "width": result.class_map.shape[1],
        "classes": {name: round(share, 4) for name, share in shares if share},
        **result.observation.document(),
    }
