"""Tells when the model store may have changed: at once where it is told so itself, and every few
seconds anyway, for notifications can be lost.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import watchfiles

from service.threads import start_daemon

RESCAN_SECONDS = 10.0

# So long after an error notifications are asked for anew.
RESTART_SECONDS = 10.0

# So often it is looked whether the folder that is watched is still the store.
CHECK_SECONDS = 1.0

log = logging.getLogger(__name__)


class Watcher:
    """Calls `on_change` on the event loop that it is made on, until it is stopped. What is wrong
    with watching never ends it: neither the notifications, which are asked for anew, nor the
    rescan, which knows nothing of them.
    """

    def __init__(self, store: Path, on_change: Callable[[], None], *, force_polling: bool) -> None:
        self._store = store
        self._on_change = on_change
        self._force_polling = force_polling
        self._stopping = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._rescanning = asyncio.create_task(self._rescan())
        # A thread of its own: on a network volume that hangs, even to begin to watch does.
        start_daemon(self._watch, "store-watcher")

    def stop(self) -> None:
        self._stopping.set()
        self._rescanning.cancel()

    async def _rescan(self) -> None:
        while True:
            await asyncio.sleep(RESCAN_SECONDS)
            self._on_change()

    def _watch(self) -> None:
        told = ""
        while not self._stopping.is_set():
            try:
                self._follow()
                told = ""
            except Exception as error:  # noqa: BLE001 - the watcher's own are none of OSError's
                if str(error) != told:
                    told = str(error)
                    log.warning(
                        "the model store cannot be watched (%s); it is looked at every %g s",
                        error,
                        RESCAN_SECONDS,
                    )
                self._stopping.wait(RESTART_SECONDS)
            self._tell()

    def _follow(self) -> None:
        """Until the store is another folder than the one that is watched."""
        watched = _identity(self._store)
        is_watching = False
        for changes in watchfiles.watch(
            self._store,
            watch_filter=None,
            stop_event=self._stopping,
            rust_timeout=int(CHECK_SECONDS * 1000),
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=self._force_polling or None,
            ignore_permission_denied=True,
        ):
            if changes or not is_watching:  # the first time: for what came before it was watched
                is_watching = True
                self._tell()
            if _identity(self._store) != watched:
                return

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._on_change)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
