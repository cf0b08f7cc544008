"""Pictures that are kept, on disk: bounded in bytes, the oldest leave first.

    <folder>/<model>/captured/images/<id>.jpg   the file as it came
                              masks/<id>.png    the mask that was answered, before `classes`
                              notes/<id>.json   one line: when, by which version, why

A note is written last and removed first, so that what has one is whole. Ids sort by time.
"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.contract import atomic
from models.contract.atomic import PARTIAL_PREFIX

FILE_MODE, FOLDER_MODE = 0o600, 0o700  # people's pictures: for the server's own account
_ID = re.compile(r"\d{8}T\d{9}-[0-9a-f]{8}")
_KINDS = ("notes", "masks", "images")  # in the order in which they are removed


class FolderInUseError(Exception):
    """Another process keeps pictures there."""


@dataclass(frozen=True)
class Kept:
    """One picture that is kept: what of it lies where, and how much it takes."""

    model: str
    id: str
    size: int


class CaptureFolder:
    """For one process, and one thread of it at a time."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Make it where it is missing, and find what is there. Raises OSError and
        FolderInUseError.
        """
        self.path, self._max_bytes = path, max_bytes
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._lock = _locked(path / ".lock")
        self._kept = sorted(_found(path), key=lambda kept: kept.id)
        self.bytes = sum(kept.size for kept in self._kept)
        self._make_room(0)

    def close(self) -> None:
        os.close(self._lock)

    def add(
        self, model: str, id: str, picture: bytes, suffix: str, mask: bytes, note: dict[str, Any]
    ) -> None:
        """Write a picture; the oldest ones leave for it. Raises OSError."""
        line = json.dumps(note, ensure_ascii=False).encode() + b"\n"
        size = len(picture) + len(mask) + len(line)
        if size > self._max_bytes:
            raise OSError(0, f"a picture of {size} bytes is more than all may take")
        self._make_room(size)
        top = self.path / model / "captured"
        places = {
            "images": (top / "images" / f"{id}{suffix}", picture),
            "masks": (top / "masks" / f"{id}.png", mask),
            "notes": (top / "notes" / f"{id}.json", line),
        }
        try:
            for place, data in places.values():
                place.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                atomic.write_bytes(place, data, mode=FILE_MODE)
        except OSError:
            self._remove(Kept(model, id, size))
            raise
        self._kept.append(Kept(model, id, size))
        self.bytes += size

    def _make_room(self, size: int) -> None:
        while self._kept and self.bytes + size > self._max_bytes:
            oldest = self._kept.pop(0)
            self._remove(oldest)
            self.bytes -= oldest.size

    def _remove(self, kept: Kept) -> None:
        for kind in _KINDS:
            for path in (self.path / kept.model / "captured" / kind).glob(f"{kept.id}.*"):
                path.unlink(missing_ok=True)


def new_id() -> str:
    """Of a picture that comes now: 20261128T213055123-1f0a9c3e."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}-{secrets.token_hex(4)}"


def captured_image(folder: Path, id: str) -> tuple[str, Path] | None:
    """The model and the file of a picture that is kept under `id`; None where there is none."""
    if not _ID.fullmatch(id) or not folder.is_dir():
        return None
    for note in folder.glob(f"*/captured/notes/{id}.json"):
        for image in (note.parents[1] / "images").glob(f"{id}.*"):
            return note.parents[2].name, image
    return None


def _locked(path: Path) -> int:
    """A descriptor that holds the lock until it is closed, or the process ends."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise FolderInUseError from None
    return descriptor


def _found(folder: Path) -> Iterator[Kept]:
    """What is whole. What a kill left behind is removed."""
    for top in folder.glob("*/captured"):
        model = top.parent.name
        sizes: dict[str, int] = {}
        files: dict[str, list[Path]] = {}
        for kind in _KINDS:
            if not (top / kind).is_dir():
                continue
            for entry in os.scandir(top / kind):
                id = entry.name.partition(".")[0]
                if entry.name.startswith(PARTIAL_PREFIX):
                    with suppress(OSError):
                        Path(entry.path).unlink()
                elif _ID.fullmatch(id):
                    sizes[id] = sizes.get(id, 0) + entry.stat().st_size
                    files.setdefault(id, []).append(Path(entry.path))
        for id, size in sizes.items():
            if len(files[id]) == len(_KINDS):
                yield Kept(model, id, size)
            else:
                for path in files[id]:
                    path.unlink(missing_ok=True)
