"""`segserve rank`: the pictures of a folder in the order in which to label them.

Start reading here: `rank_folder`. Each picture is measured once (measure.py) and noted (cache.py);
the order is arithmetic (ranking.py).
"""

import asyncio
import csv
import io
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from models.contract import atomic
from service.concurrency import as_completed
from service.domain.errors import ServiceError
from service.predict.errors import PredictError
from service.predict.model import PinnedModel
from service.predict.progress import Progress
from service.review.cache import Key, MeasureCache
from service.review.folder import images_below
from service.review.measure import Measure, Measurer
from service.review.ranking import Ranked, lifts, rank, rarity

_COLUMNS = ("rank", "image", "score", "novelty", "uncertainty", "rarity", "rarest_class", "share")


@dataclass(frozen=True)
class RankJob:
    """Rank the images below `folder` into the CSV `out`, the first `count` of them one by one.

    Those below `labeled`, if any, are known already: nothing like them comes early, and they are
    left out where they lie in `folder` too.
    """

    folder: Path
    out: Path
    count: int
    labeled: Path | None = None

    @property
    def measured(self) -> Path:
        """Where the measures are kept."""
        return self.out.with_name(f"{self.out.stem}.measured.jsonl")


@dataclass(frozen=True)
class Row:
    """One picture of the ranking; `image` is relative to the job's folder. `rarest` is the class
    that it has most more of than the others, and its `share` of the picture.
    """

    rank: int
    image: str
    ranked: Ranked
    uncertainty: float
    rarity: float
    rarest: str
    share: float


@dataclass(frozen=True)
class Ranking:
    """`failures` pairs a path with what was wrong with it. `seen_by` says what stands for how
    pictures look.
    """

    rows: tuple[Row, ...]
    failures: tuple[tuple[Path, str], ...]
    reused: int
    seen_by: str


def rank_folder(job: RankJob, model: PinnedModel) -> Ranking:
    """Measure what is not measured, rank, and write the CSV. Raises PredictError and OSError."""
    pool = images_below(job.folder)
    known = images_below(job.labeled) if job.labeled is not None else []
    labeled = {path.resolve() for path in known}
    pool = [path for path in pool if path.resolve() not in labeled]
    if not pool:
        raise PredictError(f"{job.folder} holds no image that is not labeled yet.")
    job.out.parent.mkdir(parents=True, exist_ok=True)
    cache = MeasureCache(job.measured, model.contract.digest[:16])
    run = _Run(cache)
    asyncio.run(run.all(model, [*known, *pool]))
    measured = [(path, run.measures[path]) for path in pool if path in run.measures]
    vectors = [run.measures[path].features for path in known if path in run.measures]
    names = [one.name for one in model.contract.classes]
    rows = _rows(measured, vectors, job, names)
    atomic.write_text(job.out, _csv(rows))
    return Ranking(rows, tuple(run.failures), run.reused, run.seen_by)


@dataclass
class _Run:
    cache: MeasureCache
    measures: dict[Path, Measure] = field(default_factory=dict)
    failures: list[tuple[Path, str]] = field(default_factory=list)
    reused: int = 0
    seen_by: str = ""

    async def all(self, pinned: PinnedModel, paths: Sequence[Path]) -> None:
        """Measure each of `paths` that the cache does not know."""
        missing = []
        for path in paths:
            try:
                measure = self.cache.get(Key.of(path))
            except OSError as error:
                self.failures.append((path, f"{error.strerror}"))
                continue
            if measure is None:
                missing.append(path)
            else:
                self.measures[path] = measure
        self.reused = len(self.measures)
        measurer = Measurer(pinned)
        try:
            await measurer.load()
            self.seen_by = measurer.seen_by
            work = [partial(self._do, path, measurer) for path in missing]
            with Progress(len(work)) as progress:
                async with aclosing(as_completed(work, measurer.at_once)) as outcomes:
                    async for _ in outcomes:
                        progress.advance()
        finally:
            await measurer.close()

    async def _do(self, path: Path, measurer: Measurer) -> None:
        try:
            key = Key.of(path)
            measure = await measurer.measure(await asyncio.to_thread(path.read_bytes))
        except ServiceError as error:
            self.failures.append((path, str(error)))
        except OSError as error:
            self.failures.append((path, f"{error.strerror}"))
        else:
            self.cache.add(key, measure)
            self.measures[path] = measure


def _rows(
    measured: Sequence[tuple[Path, Measure]],
    labeled: Sequence[np.ndarray],
    job: RankJob,
    names: Sequence[str],
) -> tuple[Row, ...]:
    if not measured:
        return ()
    uncertainty = np.array([measure.uncertainty for _, measure in measured])
    shares = np.array([measure.shares for _, measure in measured], np.float64)
    features = np.array([measure.features for _, measure in measured], np.float64)
    centres = np.array(labeled, np.float64).reshape(len(labeled), features.shape[1])
    order = rank(uncertainty, shares, features, centres, job.count)
    lift, rare = lifts(shares), rarity(shares)
    rows = []
    for number, ranked in enumerate(order, start=1):
        index = ranked.index
        rarest = int(lift[index].argmax())
        rows.append(
            Row(
                number,
                measured[index][0].relative_to(job.folder).as_posix(),
                ranked,
                float(uncertainty[index]),
                float(rare[index]),
                names[rarest],
                float(shares[index, rarest]),
            )
        )
    return tuple(rows)


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        novelty = "" if row.ranked.novelty is None else f"{row.ranked.novelty:.4f}"
        writer.writerow(
            [
                row.rank,
                row.image,
                f"{row.ranked.score:.4f}",
                novelty,
                f"{row.uncertainty:.4f}",
                f"{row.rarity:.4f}",
                row.rarest,
                f"{row.share:.4f}",
            ]
        )
    return text.getvalue()
