"""What of a map is done, on the disk: a file a row of tiles, which appears whole or not at all.

A run that was stopped goes on with the rows that are not there. So may several processes, each with
rows of its own.
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contract import atomic
from service.domain.errors import InvalidOptionError
from service.outputs.geo.mosaic import Part, created_part, write_part

_JOURNAL = "job.json"
_KINDS = ("confidence", "classes")  # the classes appear last: where they are, the row is done


class RowFiles:
    """The files of one row of tiles while it is written: (`height`, `width`) pixels."""

    def __init__(self, folder: Path, row: int, size: tuple[int, int], void: int | None) -> None:
        self._folder, self._row = folder, row
        self._open: dict[str, Any] = {}
        self._stacks: dict[str, ExitStack] = {}
        self._size, self._void = size, void

    def write(self, kind: str, values: NDArray[np.uint8], top: int, left: int) -> None:
        """Values (h, w) from the row `top` and the column `left` of this file on."""
        if kind not in self._open:
            self._open[kind] = self._created(kind)
        write_part(self._open[kind], values, top, left)

    def finish(self, kinds: list[str]) -> None:
        """Let them appear. Those of `kinds` that nothing was written to are void."""
        for kind in sorted(kinds, key=_KINDS.index):
            if kind not in self._open:
                self._open[kind] = self._created(kind)
            self._stacks.pop(kind).close()
            self._open.pop(kind)
            with self._partial(kind).open("rb") as file:
                os.fsync(file.fileno())
            self._partial(kind).replace(path_of(self._folder, kind, self._row))

    def abandon(self) -> None:
        for kind in self._open:
            with suppress(OSError, KeyError):  # of a full disk, and where it is closed
                self._stacks.pop(kind).close()
            self._partial(kind).unlink(missing_ok=True)
        self._open.clear()

    def _created(self, kind: str) -> Any:
        height, width = self._size
        void = self._void if kind == "classes" else 0
        created = created_part(self._partial(kind), width, height, void)
        return self._stacks.setdefault(kind, ExitStack()).enter_context(created)

    def _partial(self, kind: str) -> Path:
        # By process: two that were given one row do not write into each other's file.
        return self._folder / f"{atomic.PARTIAL_PREFIX}{os.getpid()}-{kind}-{self._row:06}.tif"


def path_of(folder: Path, kind: str, row: int) -> Path:
    return folder / f"{kind}-{row:06}.tif"


@dataclass(frozen=True)
class Work:
    """The folder of one map, of what `facts` say and nothing else."""

    folder: Path

    @classmethod
    def begin(cls, folder: Path, facts: Mapping[str, Any], *, joins: bool = False) -> "Work":
        """Go on with what is there, if it is of the same facts; else begin anew, unless it `joins`
        others who are at it. Raises OSError and InvalidOptionError.
        """
        journal = folder / _JOURNAL
        text = json.dumps(facts, sort_keys=True)
        with suppress(OSError, UnicodeDecodeError):
            there = journal.read_text(encoding="utf-8")
            if there == text:
                return cls(folder)
            if joins:
                raise InvalidOptionError(
                    "What others do of this map is of another raster, model or tiles than what "
                    "this process has; all must see the same files."
                )
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        atomic.write_text(journal, text)
        return cls(folder)

    def is_done(self, row: int) -> bool:
        return path_of(self.folder, "classes", row).is_file()

    def parts(self, kind: str, extents: Mapping[int, tuple[int, int]]) -> list[Part]:
        """The files of rows, by their extents in the map."""
        return [
            Part(path_of(self.folder, kind, row), top, bottom - top)
            for row, (top, bottom) in extents.items()
        ]

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
