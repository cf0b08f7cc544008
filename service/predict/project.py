"""The files that make the answers to a folder one thing which a tool imports: written when every
picture is done, and taken away while one is not.
"""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from models.contract import Contract, atomic
from service.outputs.output import OutputOptions
from service.outputs.project import Member, Project
from service.predict.errors import PredictError
from service.predict.ledger import Note, Picture, Recipe, digest_of
from service.predict.plan import ANOTHER_FOLDER, Ledgers, Step


class ProjectFiles:
    """Those of one job. Their notes tell of all answers, where an answer's tells of its picture."""

    def __init__(self, project: Project, out: Path, recipe: Recipe, ledgers: Ledgers) -> None:
        self._project = project
        self._out = out
        self._recipe = recipe
        self._ledgers = ledgers

    def refuse_strangers(self, *, overwrite: bool) -> None:
        """Raise PredictError where one is there that may not be replaced."""
        for path in self._there():
            ledger = self._ledgers.of(self._out)
            note = ledger.note_on(path.name) if ledger.knows(path.name) else None
            if note is None or not ledger.is_unchanged(path.name):
                raise PredictError(
                    f"{path} was changed or not written by `segserve predict` and stays; take it "
                    f"away, or {ANOTHER_FOLDER}."
                )
            if note.recipe != self._recipe and not overwrite:
                raise PredictError(
                    f"{path} is {note.recipe.unlike(self._recipe)}; {ANOTHER_FOLDER}, or say "
                    "--overwrite."
                )

    def remove(self) -> None:
        """Take away what tells of fewer or other pictures. Raises OSError."""
        for path in self._there():
            path.unlink()

    def write(
        self, steps: Sequence[Step], contract: Contract, options: OutputOptions
    ) -> tuple[Path, ...]:
        """Write those that do not tell of these steps' answers yet; gives what it wrote. Raises
        OSError.
        """
        if not steps:
            return ()
        stands_for = self._all_of(steps)
        written = []
        for name, content in self._project.files.items():
            path = self._out / name
            ledger = self._ledgers.of(self._out)
            note = ledger.note_on(name) if path.is_file() else None
            if note is not None and note.source == stands_for:
                continue
            members = [Member(step.name, partial(step.target.read_bytes)) for step in steps]
            with atomic.replacing(path) as partial_path, partial_path.open("w+b") as file:
                file.writelines(content(contract, options, members))
                file.flush()
                size = file.tell()
                digest = digest_of(*_parts(file))
                ledger.add(Note(name, size, digest, stands_for, self._recipe))
            written.append(path)
        return tuple(written)

    def _all_of(self, steps: Sequence[Step]) -> Picture:
        """What stands in a note for the pictures of all these answers, by their bytes."""
        digests = []
        for step in steps:
            note = self._ledgers.of(step.target.parent).note_on(step.target.name)
            digests.append(f"{step.name}\n{note.digest if note else ''}\n".encode(errors="replace"))
        return Picture("", len(steps), 0, digest_of(*digests))

    def _there(self) -> list[Path]:
        paths = [self._out / name for name in self._project.files]
        return [path for path in paths if os.path.lexists(path)]


def _parts(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while part := file.read(2**20):
        yield part
