"""What a bulk run keeps beside its outputs, so that it can go on where it was: `_report/` in the
target.

    job.json                       what the answers are of, and what they are made with
    todo/0001/000000.parquet       what run 1 is to do: source, stamp and target of each image
    images/0001/<key>.parquet      what run 1 did: a row an image, written when its answer is there
    failures.csv                   images that could not be read, and why
    statistics.parquet             pixels and images of each class, over all runs

An image is done when its answer is there and a row of it with the stamp that its source has. A run
that was killed between the two does it again. What is there and in neither a row nor a list of what
was to do was put there by somebody else.
"""

import csv
import hashlib
import io
import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.contract import SegmentationClass
from service.cluster.errors import ClusterError
from service.cluster.files import Folder, Listing
from service.predict.ledger import BULK_JOB, LEDGER, Recipe, answers_in
from service.predict.pictures import is_image, target_names

REPORT = posixpath.dirname(BULK_JOB)
TODO = f"{REPORT}/todo"
IMAGES = f"{REPORT}/images"
FAILURES = f"{REPORT}/failures.csv"
STATISTICS = f"{REPORT}/statistics.parquet"

# The columns of the lists of what is to be done.
STEP = ("source", "stamp", "target")

_ROWS_A_PART = 50_000

DONE = pa.schema(
    [
        ("source", pa.string()),
        ("stamp", pa.string()),
        ("target", pa.string()),
        ("error", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("class_pixels", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True)
class Pending:
    """What is to be done: the parts that list it, and how many images they hold beside those done
    already.
    """

    parts: tuple[str, ...]
    images: int
    skipped: int


@dataclass(frozen=True)
class _Known:
    """Hashes, sorted, 8 bytes an image: answers that are this folder's own, and those with the
    stamp of their source.
    """

    own: NDArray[np.uint64]
    done: NDArray[np.uint64]


class Ledger:
    def __init__(self, target: Folder) -> None:
        self.target = target

    def begin(
        self, source: Folder, recipe: Recipe, extension: str, *, overwrite: bool
    ) -> tuple[int, Pending]:
        """The number of this run, and what it is to do. Lists one folder at a time.

        Raises ClusterError where that would mix answers, write over what is none, or take an answer
        for an image.
        """
        job = {"source": self.target.path_to(source), **asdict(recipe)}
        if not overwrite:
            self._refuse_another(job, recipe)
        known = self._known(with_done=not overwrite)
        run = 1 + max(self._runs(IMAGES) + self._runs(TODO), default=0)
        skipped = Counter[bool]()
        try:
            parts = tuple(self._write_parts(run, self._pending(source, extension, known, skipped)))
        except ClusterError:
            self.target.remove(f"{TODO}/{run:04}")
            raise
        # From here on the list says what is this run's own to write, whenever it is stopped.
        if overwrite:
            self.target.remove(IMAGES)
        for older in self._runs(TODO):
            if older != run:
                self.target.remove(f"{TODO}/{older:04}")
        self.target.write(BULK_JOB, json.dumps(job, indent=2).encode())
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
        for _, good in self._results(["class_pixels"]):
            counts = np.array(good["class_pixels"].to_pylist(), np.int64).reshape(-1, len(classes))
            pixels += counts.sum(axis=0)
            images += np.count_nonzero(counts, axis=0)
        self.target.write(STATISTICS, _parquet(_statistics(classes, pixels, images)))
        failures = io.StringIO()
        rows = csv.writer(failures)
        rows.writerow(["source", "error"])
        failed = 0
        for table in self._tables(f"{IMAGES}/{run:04}", ["source", "error"]):
            for row in table.filter(pa.compute.is_valid(table["error"])).to_pylist():
                rows.writerow([row["source"], row["error"]])
                failed += 1
        self.target.write(FAILURES, failures.getvalue().encode())
        self.target.remove(TODO)
        return failed

    def _refuse_another(self, job: Mapping[str, str], recipe: Recipe) -> None:
        """Raise ClusterError where the answers that are there are of other images, or were made
        otherwise.
        """
        mend = "give another folder with -o, or say --overwrite."
        try:
            there = json.loads(self.target.read(BULK_JOB))
            source, made_with = there.pop("source"), Recipe(**there)
        except FileNotFoundError:
            if self._runs(IMAGES):
                raise ClusterError(
                    f"the answers that are there are an older segserve's; {mend}"
                ) from None
            return
        except (ValueError, TypeError, AttributeError, KeyError):
            raise ClusterError(f"{BULK_JOB} in the target cannot be read; {mend}") from None
        if source != job["source"]:
            raise ClusterError(f"the answers that are there are those to other images; {mend}")
        if made_with != recipe:
            raise ClusterError(f"the answers that are there are {made_with.unlike(recipe)}; {mend}")

    def _pending(
        self, source: Folder, extension: str, known: _Known, skipped: Counter[bool]
    ) -> Iterator[tuple[str, str, str]]:
        """Source, stamp and target of each image that is to be done; counts the others too."""
        lies_in_answers = self.target.contains(source)
        for listing in source.walk(partial(self._is_of_another_job, source)):
            inside = None if lies_in_answers else self.target.path_in(source, listing.path)
            answers = _answers_of_predict(source, listing)
            images = [f for f in listing.files if is_image(f.name) and f.name not in answers]
            if inside is not None:
                self._refuse_strangers(inside, [file.name for file in images], known)
                continue
            if not images:
                continue
            _refuse_what_is_no_text([posixpath.join(listing.path, file.name) for file in images])
            there = set(self.target.list(listing.path).names)
            targets = target_names([file.name for file in images], extension)
            for file, name in zip(images, targets, strict=True):
                path = posixpath.join(listing.path, name)
                if name in there and not _is_in(known.own, path):
                    raise ClusterError(
                        f"{path} is there, was not written by `segserve predict --ray` and stays; "
                        "take it away, or give another folder with -o."
                    )
                is_done = name in there and _is_in(known.done, path, file.stamp)
                skipped[is_done] += 1
                if not is_done:
                    yield posixpath.join(listing.path, file.name), file.stamp, path

    def _is_of_another_job(self, source: Folder, listing: Listing) -> bool:
        """Whether a folder has the answers of another job on a cluster."""
        if REPORT not in listing.folders or self.target.contains(source, listing.path):
            return False
        report = source.list(posixpath.join(listing.path, REPORT))
        return posixpath.basename(BULK_JOB) in report.names

    def _refuse_strangers(self, inside: str, images: Sequence[str], known: _Known) -> None:
        for name in images:
            if not _is_in(known.own, posixpath.join(inside, name)):
                raise ClusterError(
                    f"{posixpath.join(inside, name)} lies where the answers go and was not written "
                    "by `segserve predict --ray`, so it may be an image or not; give another "
                    "folder with -o."
                )

    def _write_parts(self, run: int, pending: Iterable[tuple[str, str, str]]) -> Iterator[str]:
        waiting = iter(pending)
        number = 0
        while rows := list(islice(waiting, _ROWS_A_PART)):
            columns = dict(zip(STEP, zip(*rows, strict=True), strict=True))
            part = f"{TODO}/{run:04}/{number:06}.parquet"
            self.target.write(part, _parquet(pa.table(columns)))
            yield part
            number += 1

    def _runs(self, folder: str) -> list[int]:
        """The numbers of the runs that left something there, in order."""
        return sorted(int(name) for name in self.target.list(folder).folders if name.isdecimal())

    def _known(self, *, with_done: bool) -> _Known:
        """Read every row, and what runs that were stopped had to do."""
        own = [_hashes(table, "target") for table in self._tables(TODO, ["target"])]
        done = []
        for targets, last in self._results(["stamp"] if with_done else []):
            own.append(targets)
            done += [_hashes(last, "target", "stamp")] if with_done else []
        return _Known(_sorted(own), _sorted(done))

    def _results(self, columns: Sequence[str]) -> Iterator[tuple[NDArray[np.uint64], pa.Table]]:
        """Of each part the hashes of its targets, and the rows of what went well; of an image that
        several runs did the last run's alone.
        """
        newer = _sorted([])
        runs = self._runs(IMAGES)
        while runs:
            folder = f"{IMAGES}/{runs.pop():04}"
            seen = []
            for table in self._tables(folder, ["target", "error", *columns]):
                good = table.filter(pa.compute.is_null(table["error"]))
                hashes = _hashes(good, "target")
                yield _hashes(table, "target"), good.filter(pa.array(~_are_in(newer, hashes)))
                seen += [hashes] if runs else []  # for those to come
            newer = _sorted([newer, *seen])

    def _tables(self, folder: str, columns: list[str]) -> Iterator[pa.Table]:
        for listing in self.target.below(folder).walk():
            for name in listing.names:
                if name.endswith(".parquet") and not name.startswith("."):
                    body = self.target.read(posixpath.join(folder, listing.path, name))
                    yield pq.read_table(io.BytesIO(body), columns=columns)


def _answers_of_predict(source: Folder, listing: Listing) -> frozenset[str]:
    """The names of answers that `segserve predict` on one machine wrote into a folder."""
    if LEDGER not in listing.names:
        return frozenset()
    return answers_in(source.read(posixpath.join(listing.path, LEDGER)))


def _refuse_what_is_no_text(paths: Sequence[str]) -> None:
    """Raises ClusterError."""
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise ClusterError(f"the name {path!r} is not UTF-8; rename the file.") from None


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


def _hashes(table: pa.Table, *columns: str) -> NDArray[np.uint64]:
    """A hash of each row."""
    rows = zip(*(table[column].to_pylist() for column in columns), strict=True)
    return np.fromiter((_hash(*row) for row in rows), np.uint64)


def _hash(*texts: str) -> int:
    text = "\n".join(texts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _sorted(hashes: Iterable[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return np.sort(np.concatenate([np.array([], np.uint64), *hashes]))


def _is_in(hashes: NDArray[np.uint64], *texts: str) -> bool:
    return bool(_are_in(hashes, np.array([_hash(*texts)], np.uint64))[0])


def _are_in(hashes: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of `wanted` are among `hashes`, which are sorted."""
    places = np.searchsorted(hashes, wanted)
    found = places < len(hashes)
    found[found] = hashes[places[found]] == wanted[found]
    return found
