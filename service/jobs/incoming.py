"""A job's file on its way to the disk, of which never more than a part is in memory."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from service.jobs.threads import DiskThreads

_PART_BYTES = 2**20  # smaller parts are joined: each is a way to a thread and back
CHECKPOINT_BYTES = 64 * 2**20


@dataclass
class Incoming:
    """Appends to the file `path` from `offset` on. Raises OSError.

    `written` bytes are in the file, `safe` ones would outlive a power cut.
    """

    path: Path
    offset: int
    threads: DiskThreads
    written: int = field(init=False)
    safe: int = field(init=False)
    _file: BinaryIO | None = field(default=None, init=False)
    _waiting: bytearray = field(default_factory=bytearray, init=False)

    def __post_init__(self) -> None:
        self.written = self.safe = self.offset

    @property
    def received(self) -> int:
        return self.written + len(self._waiting)

    async def open(self) -> None:
        self._file = await self.threads.file(_open_at, self.path, self.offset)

    async def write(self, part: bytes | bytearray | memoryview) -> None:
        self._waiting += part
        if len(self._waiting) >= _PART_BYTES:
            await self._flush()

    async def checkpoint(self) -> int:
        """Let what came be safe. Gives how many bytes are."""
        await self._flush()
        if self._file is not None:
            await self.threads.file(os.fdatasync, self._file.fileno())
        self.safe = self.written
        return self.safe

    async def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            await self.threads.file(file.close)

    async def _flush(self) -> None:
        if not self._waiting or self._file is None:
            return
        waiting, self._waiting = self._waiting, bytearray()
        await self.threads.file(_write_all, self._file, waiting)
        self.written += len(waiting)


def _open_at(path: Path, offset: int) -> BinaryIO:
    """What lies beyond `offset` was never told to be safe, and goes."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", 0)
    file.truncate(offset)
    file.seek(offset)
    return file


def _write_all(file: BinaryIO, data: bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
