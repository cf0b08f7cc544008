"""Which files are pictures, and what the answer to each is called."""

import hashlib
import os
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.contract.atomic import PARTIAL_PREFIX
from service.inputs import readable_suffixes
from service.predict.errors import PredictError

_MAX_NAME_BYTES = 255  # of every file system in use; object stores take longer keys
_SIDECAR_PREFIX = "._"  # macOS keeps a file's attributes so, where the disk is not its own


@dataclass(frozen=True)
class Folder:
    """One folder on the way through a tree: the names in it, sorted, or what kept it from being
    read.
    """

    path: Path
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    fault: str | None = None


def is_image(name: str) -> bool:
    """Whether a file of a folder is taken for an image. One named outright is always tried."""
    if name.startswith((_SIDECAR_PREFIX, PARTIAL_PREFIX)):
        return False
    return PurePosixPath(name).suffix.lower() in readable_suffixes()


def walk(top: Path, prune: Callable[[Folder], bool]) -> Iterator[Folder]:
    """`top` and each folder below it, once: those that are there, then those that links lead to.

    So a link to what is in the tree anyway, or back up, adds nothing. What `prune` takes is left
    out with all that lies in it.
    """
    seen: set[tuple[int, int]] = set()
    there, linked = deque([top]), deque[Path]()
    while there or linked:
        path = there.popleft() if there else linked.popleft()
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            yield Folder(path, fault=error.strerror)
            continue
        folder = Folder(
            path,
            tuple(entry.name for entry in entries if entry.is_file() or _leads_nowhere(entry)),
            tuple(entry.name for entry in entries if entry.is_dir()),
        )
        if not prune(folder):
            linked += [path / e.name for e in entries if e.is_dir() and e.is_symlink()]
            there.extendleft(
                path / e.name for e in reversed(entries) if e.is_dir(follow_symlinks=False)
            )
            yield folder


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    """A broken link, which is told of when it is read."""
    return entry.is_symlink() and not Path(entry).exists()


def target_names(names: Sequence[str], extension: str) -> list[str]:
    """The relative path of the answer to each relative path, other ones on a disk too that knows no
    capitals. Raises PredictError where two would be one.
    """
    short = [str(PurePosixPath(name).with_suffix(extension)) for name in names]
    # photo.jpg beside photo.png: the whole name keeps their answers apart
    whole = [
        target if is_alone else name + extension
        for name, target, is_alone in zip(names, short, _alone(short), strict=True)
    ]
    clashes = [target for target, n in Counter(whole).items() if n > 1]
    if clashes:
        raise PredictError(
            f"several images would be written to {clashes[0]}; give them in separate commands."
        )
    return [
        target if is_alone and _fits(target) else _told_apart(target, extension)
        for target, is_alone in zip(whole, _alone(whole), strict=True)
    ]


def _alone(targets: Sequence[str]) -> list[bool]:
    """Whether each path is the only one of its name, whatever its capitals and Unicode's form."""
    keys = [unicodedata.normalize("NFC", target.casefold()) for target in targets]
    counts = Counter(keys)
    return [counts[key] == 1 for key in keys]


def _fits(target: str) -> bool:
    """Whether the last part of the path is as short as file systems take."""
    return len(os.fsencode(PurePosixPath(target).name)) <= _MAX_NAME_BYTES


def _told_apart(target: str, extension: str) -> str:
    """The path, its last part told apart by a digest, and cut where it is too long."""
    name = os.fsencode(PurePosixPath(target).name)
    tail = f"~{hashlib.blake2b(name, digest_size=4).hexdigest()}{extension}"
    stem = name.removesuffix(os.fsencode(extension)) if _fits(target) else name
    head = stem[: _MAX_NAME_BYTES - len(tail)].decode(errors="ignore")
    return str(PurePosixPath(target).with_name(head + tail))
