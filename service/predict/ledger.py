"""How each answer of a folder was made, so that the next run knows what is done, what is its own,
and what is not.

A file beside the answers has a line an answer, appended before the answer gets its name: what is
there without a line was put there by somebody else. Lines of answers that are gone are dropped when
a run begins.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from models.contract import atomic
from service.outputs.output import OutputOptions
from service.predict.model import PinnedModel

LEDGER = ".segserve-answers.jsonl"

# What a job on a cluster keeps in the folder of its answers; all that lies beside it are answers.
BULK_JOB = "_report/job.json"

_READ_BYTES = 2**20


@dataclass(frozen=True)
class Recipe:
    """What an answer was made with. `options` is the JSON of those that are no defaults."""

    model: str
    model_digest: str
    format: str
    options: str

    @classmethod
    def of(cls, model: PinnedModel, format: str, options: OutputOptions) -> "Recipe":
        return cls(
            model.id,
            model.contract.digest[:16],
            format,
            options.model_dump_json(exclude_defaults=True),
        )

    def __str__(self) -> str:
        options = "" if self.options == "{}" else f" with {self.options}"
        return f"{self.format}{options} by {self.model}"

    def unlike(self, asked: "Recipe") -> str:
        """How it differs from `asked`: "png by street/1, and …"."""
        if str(self) == str(asked):
            return f"those of {self.model} when its files were others"
        return f"{self}, and {asked} is asked for"


@dataclass(frozen=True)
class Picture:
    """A picture as it was when it was read. `path` is relative to the folder of its answer."""

    path: str
    size: int
    mtime_ns: int
    digest: str

    @classmethod
    def read(cls, source: Path, folder: Path) -> tuple["Picture", bytes]:
        """The picture and its bytes. Raises OSError."""
        status = source.stat()  # before its bytes: what is changed in between differs next time
        body = source.read_bytes()
        path = _relative(source, folder)
        return cls(path, status.st_size, status.st_mtime_ns, digest_of(body)), body

    @classmethod
    def of(cls, source: Path, folder: Path) -> "Picture":
        """The picture, of which no more than a part is held. Raises OSError."""
        status = source.stat()
        digest = _digest_of_file(source)
        return cls(_relative(source, folder), status.st_size, status.st_mtime_ns, digest)

    def is_at(self, source: Path, folder: Path) -> bool:
        """Whether it was read from this path, whatever is there now."""
        return self.path == _relative(source, folder)

    def is_still(self, source: Path, folder: Path) -> bool:
        """Whether `source` is this picture: the same file unchanged, or the same bytes. Raises
        OSError.
        """
        status = source.stat()
        if status.st_size != self.size:
            return False
        if status.st_mtime_ns == self.mtime_ns and self.is_at(source, folder):
            return True
        return _digest_of_file(source) == self.digest


@dataclass(frozen=True)
class Note:
    """One answer, by its bytes, the picture it is of, and how it was made."""

    answer: str
    size: int
    digest: str
    source: Picture
    recipe: Recipe

    @classmethod
    def of(cls, answer: str, chunks: Sequence[bytes], source: Picture, recipe: Recipe) -> "Note":
        size = sum(map(len, chunks))
        return cls(answer, size, digest_of(*chunks), source, recipe)

    @classmethod
    def of_file(cls, path: Path, answer: str, source: Picture, recipe: Recipe) -> "Note":
        """As `of`, of an answer that lies in a file. Raises OSError."""
        return cls(answer, path.stat().st_size, _digest_of_file(path), source, recipe)

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> "Note":
        """Raises KeyError and TypeError."""
        recipe, source = Recipe(**line["recipe"]), Picture(**line["source"])
        return cls(line["answer"], line["size"], line["digest"], source, recipe)


class Ledger:
    """The notes on one folder's answers. What another process adds meanwhile is found by reading it
    anew.
    """

    def __init__(self, folder: Path) -> None:
        """Read them. Raises OSError."""
        self.folder = folder
        self._path = folder / LEDGER
        self._notes: dict[str, list[Note]] = {}
        self._lines = 0
        with suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                self._lines += 1
                if (note := _read_line(line)) is not None:
                    self._notes.setdefault(note.answer, []).append(note)

    def knows(self, name: str) -> bool:
        """Whether an answer of this name was ever written."""
        return name in self._notes

    def note_on(self, name: str) -> Note | None:
        """The note on the answer as it is there; None where it was changed since, or is none of
        ours.

        Two notes of one size, which a crash can leave, are told apart by the answer's bytes. Raises
        OSError.
        """
        size = (self.folder / name).stat().st_size
        fitting = [note for note in self._notes.get(name, []) if note.size == size]
        if len({note.digest for note in fitting}) <= 1:
            return fitting[-1] if fitting else None
        return self._by_digest(name)

    def is_unchanged(self, name: str) -> bool:
        """Whether the answer is as it was written, byte for byte. Raises OSError."""
        return self._by_digest(name) is not None

    def add(self, note: Note) -> None:
        """Note an answer that is about to get its name. Raises OSError."""
        self._notes.setdefault(note.answer, []).append(note)
        with _locked(self._path) as file:
            line = _line(note)
            size = file.seek(0, os.SEEK_END)
            if (
                size and os.pread(file.fileno(), 1, size - 1) != b"\n"
            ):  # a line cut short by a crash
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def tidy(self) -> None:
        """Keep one line an answer. Raises OSError."""
        there = {name for name in self._notes if (self.folder / name).exists()}
        if self._lines <= 2 * len(there):
            return
        with _locked(self._path):
            now = Ledger(self.folder)
            kept = [
                now.note_on(name) for name in sorted(now._notes) if (self.folder / name).exists()
            ]
            lines = b"".join(_line(note) for note in kept if note is not None)
            atomic.write_bytes(self._path, lines)

    def _by_digest(self, name: str) -> Note | None:
        digest = _digest_of_file(self.folder / name)
        return next((n for n in reversed(self._notes.get(name, [])) if n.digest == digest), None)


def _relative(source: Path, folder: Path) -> str:
    return os.path.relpath(source.parent.resolve() / source.name, folder.resolve())


def digest_of(*chunks: bytes) -> str:
    """One digest of all chunks together."""
    digest = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _digest_of_file(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def answers_in(ledger: bytes) -> frozenset[str]:
    """The names that a ledger has notes on."""
    notes = map(_read_line, ledger.splitlines())
    return frozenset(note.answer for note in notes if note is not None)


def _read_line(line: bytes) -> Note | None:
    """None where the line was cut short by a crash."""
    try:
        return Note.read(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def _line(note: Note) -> bytes:
    return json.dumps(asdict(note)).encode() + b"\n"


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file to append to, while no other process appends to it or puts another in its place."""
    while True:
        with path.open("ab+") as file:
            with suppress(OSError):  # a network file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return
