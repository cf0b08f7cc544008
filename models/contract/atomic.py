"""Files and folders that appear whole or not at all: written beside their place, synced, and
renamed into it.

The temporary name is hidden, short (a name of 255 bytes leaves no room for an affix) and keeps the
suffix, since some writers go by that. What is left after a failure is removed; after a kill, a
hidden `.partial-…` stays.
"""

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL_PREFIX = ".partial-"

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_CANNOT_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def write_bytes(
    path: Path, data: bytes | bytearray | memoryview, *, mode: int | None = None
) -> None:
    """Put `data` in place of `path`. `mode` is as `replacing` says."""
    with replacing(path, mode=mode) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Put `text` in UTF-8 in place of `path`. `mode` is as `replacing` says."""
    write_bytes(path, text.encode(), mode=mode)


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """A path to write to in the block, which takes the place of `path` after it.

    A file that is there keeps its mode and owner, and a symbolic link goes on to lead where it did;
    a new file has `mode`, or what the umask leaves. A device or a pipe is written to as it is.
    Raises OSError; `path` is untouched then.
    """
    if path.exists() and not path.is_file():
        yield path  # a device or a pipe: nothing could take its place
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    partial = _beside(path)
    try:
        if mode is not None:
            partial.touch(mode=mode)
        yield partial
        _keep_owner(path, partial)
        _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill in the block, which is `path` after it; parents that it makes are removed
    where it fails. Raises OSError where there is one already."""
    partial = _beside(path)
    made = [parent for parent in path.parents if not parent.exists()]
    try:
        partial.mkdir(parents=True)
        yield partial
        _sync_below(partial)
        if path.exists():
            raise FileExistsError(errno.EEXIST, "there is such a folder already", str(path))
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):  # another writer has put something there
            for parent in made:
                parent.rmdir()
        raise
    _sync(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `new_folder`, in place of the folder `path`.

    The two change places in one step, so that a reader finds one or the other; where the file
    system cannot do that, two renames follow each other.
    """
    partial = _beside(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        _sync_below(partial)
        exchange(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _sync(path.parent)


def exchange(one: Path, other: Path) -> None:
    """Let two paths of one file system change places. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    with suppress(AttributeError):  # a C library without renameat2
        done = libc.renameat2(
            _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
        )
        if done == 0:
            return
        code = ctypes.get_errno()
        if code not in _CANNOT_EXCHANGE:
            raise OSError(code, os.strerror(code), str(other))
    exchange_by_renames(one, other)


def exchange_by_renames(one: Path, other: Path) -> None:
    """As `exchange`, where the file system has no such step: a reader may find `other` missing."""
    aside = _beside(other)
    other.rename(aside)
    try:
        one.rename(other)
    except BaseException:  # an interrupt too
        aside.rename(other)
        raise
    aside.rename(one)


def _beside(path: Path) -> Path:
    return path.with_name(f"{PARTIAL_PREFIX}{secrets.token_hex(8)}{path.suffix[:16]}")


def _keep_owner(path: Path, partial: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    own = partial.stat()
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        os.chown(partial, status.st_uid, status.st_gid)
    partial.chmod(status.st_mode & 0o7777)


def _sync_below(folder: Path) -> None:
    for path in folder.rglob("*"):
        if not path.is_symlink():
            _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_EXCHANGE:  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)
