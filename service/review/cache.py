"""What was measured of a folder's pictures, a line each in a file, by which a command resumes."""

import base64
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.review.measure import Measure


@dataclass(frozen=True)
class Key:
    """A picture as it was when it was measured. `path` is absolute."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> "Key":
        """Raises OSError."""
        status = path.stat()
        return cls(str(path.resolve()), status.st_size, status.st_mtime_ns)


class MeasureCache:
    """The measures of one model. A line that a kill tore is measured again."""

    def __init__(self, path: Path, model_digest: str) -> None:
        """Read them. Raises OSError."""
        self._path, self._digest = path, model_digest
        self._measures: dict[Key, Measure] = {}
        self._ends_a_line = True
        with suppress(FileNotFoundError):
            data = path.read_bytes()
            self._ends_a_line = not data or data.endswith(b"\n")
            for line in data.splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    self._read(json.loads(line))

    def get(self, key: Key) -> Measure | None:
        return self._measures.get(key)

    def add(self, key: Key, measure: Measure) -> None:
        """Append it. Raises OSError."""
        self._measures[key] = measure
        line = json.dumps(
            {
                "path": key.path,
                "size": key.size,
                "mtime_ns": key.mtime_ns,
                "model": self._digest,
                "uncertainty": round(measure.uncertainty, 6),
                "shares": _text(measure.shares),
                "features": _text(measure.features),
            }
        )
        with self._path.open("ab") as file:
            file.write((b"" if self._ends_a_line else b"\n") + line.encode() + b"\n")
        self._ends_a_line = True

    def _read(self, line: dict[str, Any]) -> None:
        if line["model"] == self._digest:
            key = Key(line["path"], line["size"], line["mtime_ns"])
            features, shares = _array(line["features"]), _array(line["shares"])
            self._measures[key] = Measure(float(line["uncertainty"]), shares, features)


def _text(values: NDArray[np.float32]) -> str:
    return base64.b85encode(values.astype("<f2").tobytes()).decode()


def _array(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b85decode(text), "<f2").astype(np.float32)
