"""What a bulk run keeps beside its outputs, so that it can go on where it was: `_report/` in the target.

    todo/000000.parquet            what this run is to do: source and target of each image
    images/0001/<key>.parquet      what run 1 did: a row an image, written when its answer is there
    failures.csv                   images that could not be read, and why
    statistics.parquet             pixels and images of each class, over all runs

An image is done when its answer is there and a row of it is. A run that was killed between the two does it again.
"""

import csv
import hashlib
import io
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.contract import SegmentationClass
from service.cluster.files import Folder
from service.predict.pictures import is_image, target_names

REPORT = "_report"
TODO = f"{REPORT}/todo"
IMAGES = f"{REPORT}/images"
FAILURES = f"{REPORT}/failures.csv"
STATISTICS = f"{REPORT}/statistics.parquet"

_ROWS_A_PART = 50_000

DONE = pa.schema(
    [
        ("source", pa.string()),
        ("target", pa.string()),
        ("error", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("class_pixels", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True)
class Pending:
    """What is to be done: the parts that list it, and how many images they hold beside those done already."""

    parts: tuple[str, ...]
    images: int
    skipped: int


class Ledger:
    def __init__(self, target: Folder) -> None:
        self.target = target

    def begin(self, source: Folder, extension: str, *, overwrite: bool) -> tuple[int, Pending]:
        """The number of this run, and what it is to do. Lists one folder at a time."""
        if overwrite:
            self.target.remove(IMAGES)
        self.target.remove(TODO)
        recorded = self._recorded()
        skipped = Counter[bool]()

        def pending() -> Iterator[tuple[str, str]]:
            for folder, names in source.walk():
                if self.target.contains(source, folder):
                    continue
                there = set(self.target.names(folder))
                images = [name for name in names if is_image(name)]
                for name, target in zip(images, target_names(images, extension), strict=True):
                    path = posixpath.join(folder, target)
                    is_done = target in there and _is_in(recorded, path)
                    skipped[is_done] += 1
                    if not is_done:
                        yield posixpath.join(folder, name), path

        parts = tuple(self._write_parts(pending()))
        run = 1 + max(map(int, self.target.folders(IMAGES)), default=0)
        return run, Pending(parts, skipped[False], skipped[True])

    def find(self, run: int, key: str) -> list[dict[str, Any]] | None:
        """What was recorded under `key`, where this run did it before."""
        try:
            body = self.target.read(_part(run, key))
        except FileNotFoundError:
            return None
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(body)).to_pylist()
        return rows

    def record(self, run: int, key: str, rows: Sequence[dict[str, Any]]) -> None:
        """Note that the answers of `rows` are there."""
        self.target.write(_part(run, key), _parquet(pa.Table.from_pylist(list(rows), DONE)))

    def finish(self, run: int, classes: Sequence[SegmentationClass]) -> int:
        """Write the report over all runs, and give the number of images of this run that failed."""
        pixels = np.zeros(len(classes), np.int64)
        images = np.zeros(len(classes), np.int64)
        for good in self._last_of_each():
            counts = np.array(good["class_pixels"].to_pylist(), np.int64).reshape(-1, len(classes))
            pixels += counts.sum(axis=0)
            images += np.count_nonzero(counts, axis=0)
        self.target.write(STATISTICS, _parquet(_statistics(classes, pixels, images)))
        failures = io.StringIO()
        rows = csv.writer(failures)
        rows.writerow(["source", "error"])
        failed = 0
        for table in self._tables(["source", "error"], run):
            for row in table.filter(pa.compute.is_valid(table["error"])).to_pylist():
                rows.writerow([row["source"], row["error"]])
                failed += 1
        self.target.write(FAILURES, failures.getvalue().encode())
        self.target.remove(TODO)
        return failed

    def _write_parts(self, pending: Iterable[tuple[str, str]]) -> Iterator[str]:
        waiting = iter(pending)
        number = 0
        while rows := list(islice(waiting, _ROWS_A_PART)):
            sources, targets = zip(*rows, strict=True)
            part = f"{TODO}/{number:06}.parquet"
            self.target.write(part, _parquet(pa.table({"source": sources, "target": targets})))
            yield part
            number += 1

    def _recorded(self) -> NDArray[np.uint64]:
        """The targets that a run has recorded as good, as sorted hashes: 8 bytes an image."""
        return np.sort(_hashes(self._good()))

    def _last_of_each(self) -> Iterator[pa.Table]:
        """The good rows; of an image that several runs did, because its answer was gone, the last run's alone."""
        newer = np.array([], np.uint64)
        runs = sorted(map(int, self.target.folders(IMAGES)))
        while runs:
            run = runs.pop()
            if not runs and not len(
                newer
            ):  # one run, which may be all there ever is: nothing to compare
                yield from self._good(run)
                return
            seen = []
            for table in self._good(run):
                hashes = _hashes([table])
                seen.append(hashes)
                yield table.filter(pa.array(~_are_in(newer, hashes)))
            newer = np.sort(np.concatenate([newer, *seen]))

    def _good(self, run: int | None = None) -> Iterator[pa.Table]:
        for table in self._tables(["target", "error", "class_pixels"], run):
            yield table.filter(pa.compute.is_null(table["error"]))

    def _tables(self, columns: list[str], run: int | None = None) -> Iterator[pa.Table]:
        folder = IMAGES if run is None else f"{IMAGES}/{run:04}"
        for below, names in self.target.below(folder).walk():
            for name in names:
                if name.endswith(".parquet") and not name.startswith("."):
                    body = self.target.read(posixpath.join(folder, below, name))
                    yield pq.read_table(io.BytesIO(body), columns=columns)


def key_of(targets: Sequence[str]) -> str:
    """A name for a batch, the same whenever it is run again."""
    return hashlib.blake2b("\n".join(targets).encode(), digest_size=12).hexdigest()


def _part(run: int, key: str) -> str:
    return f"{IMAGES}/{run:04}/{key[:2]}/{key}.parquet"


def _statistics(
    classes: Sequence[SegmentationClass], pixels: NDArray[np.int64], images: NDArray[np.int64]
) -> pa.Table:
    total = max(1, int(pixels.sum()))
    return pa.table(
        {
            "id": [known.id for known in classes],
            "name": [known.name for known in classes],
            "pixels": pixels,
            "fraction": pixels / total,
            "images": images,
        }
    )


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def _hashes(tables: Iterable[pa.Table]) -> NDArray[np.uint64]:
    targets = (target for table in tables for target in table["target"].to_pylist())
    return np.fromiter(map(_hash, targets), np.uint64)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _is_in(hashes: NDArray[np.uint64], text: str) -> bool:
    return bool(_are_in(hashes, np.array([_hash(text)], np.uint64))[0])


def _are_in(hashes: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of `wanted` are among `hashes`, which are sorted."""
    places = np.searchsorted(hashes, wanted)
    found = places < len(hashes)
    found[found] = hashes[places[found]] == wanted[found]
    return found
