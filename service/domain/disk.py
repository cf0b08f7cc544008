"""What a fault of writing means: whether the disk is full."""

import errno
import os
import shutil
import sqlite3
from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_ROOM_BYTES = 2 * 2**20  # less than some blocks of a raster take


def is_of_a_full_disk(error: OSError | sqlite3.Error, folder: Path | None = None) -> bool:
    """By the number that the system or SQLite gives. GDAL gives none: of its faults by the room
    that is left on the disk of `folder`.
    """
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if error.errno is not None or folder is None:
        return error.errno in _FULL
    return shutil.disk_usage(folder).free < _NO_ROOM_BYTES


def refuse_full_disk(path: Path) -> None:
    """Raises OSError where no room is left beside a file that was written by who does not say
    whether all of it was.
    """
    if path.exists() and shutil.disk_usage(path.parent).free < _NO_ROOM_BYTES:  # not GDAL's memory
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
