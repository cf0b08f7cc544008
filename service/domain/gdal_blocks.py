"""GDAL's cache of blocks, which all threads of the process share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# GDAL would keep blocks in a share of the machine's memory. rasterio takes bytes, unlike GDAL.
CACHE_BYTES = 64 * 2**20


class _BlockCache:
    """GDAL's cache of blocks is one for the whole process: whoever needs room in it, also to read,
    writes out blocks of other threads' files. What such a thread writes to a block meanwhile is
    lost, without an error. So while one writes, nobody else reads or writes. Who wants to write
    goes before those who come to read later, or many of them would keep it waiting for good.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.writers = 0  # one that writes, and those that wait to
        self._readers, self._is_written = 0, False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Beside others who read. Not within `reading`."""
        with self._changed:
            self._changed.wait_for(lambda: not self.writers)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alone. Not within `reading`."""
        with self._changed:
            self.writers += 1
            self._changed.wait_for(lambda: not self._is_written and not self._readers)
            self._is_written = True
        try:
            yield
        finally:
            with self._changed:
                self.writers -= 1
                self._is_written = False
                self._changed.notify_all()


BLOCKS = _BlockCache()
