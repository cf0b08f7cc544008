"""Rasters in, maps out: `segserve predict ortho.tif -o classes.tif`."""

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.domain.disk import is_of_a_full_disk
from service.domain.errors import ServiceError
from service.maps.job import MapProgress, MapSummary, predict_raster
from service.maps.options import MapOptions
from service.predict.errors import PredictError
from service.predict.job import stopping_on_signals
from service.predict.ledger import Note, Picture, Recipe
from service.predict.loaded import LoadedModel
from service.predict.model import PinnedModel
from service.predict.pictures import target_names
from service.predict.plan import (
    WORK_PREFIX,
    Faults,
    Ledgers,
    Step,
    find_pictures,
    judge_step,
    refuse_sources_as_targets,
)
from service.predict.progress import Progress

SUFFIXES = frozenset({".tif", ".tiff"})
POLYGONS = {".gpkg": "gpkg", ".geojson": "geojson"}


@dataclass(frozen=True)
class MapJob:
    """`out` is a .tif file of one raster, or a folder. `polygons` is a .gpkg or .geojson file of
    one raster, or the word gpkg or geojson: beside each map.
    """

    sources: tuple[Path, ...]
    out: Path
    polygons: str | None
    like: Path | None
    options: MapOptions
    overwrite: bool


@dataclass(frozen=True)
class MapStep:
    """One raster, its name below the folder that was given, and where each format goes."""

    source: Path
    name: str
    targets: Mapping[str, Path]

    @property
    def work(self) -> Path:
        """The folder of what is done of it, beside the map and hidden."""
        target = next(iter(self.targets.values()))
        digest = hashlib.blake2b(os.fsencode(target.name), digest_size=6).hexdigest()
        return target.with_name(f"{WORK_PREFIX}{digest}")


@dataclass(frozen=True)
class RowsOfMap:
    """The `rows` of tiles of `side` pixels that a map is still to have in its `work` folder."""

    source: Path
    targets: Mapping[str, Path]
    options: MapOptions
    like: Path | None
    model_id: str
    work: Path
    side: int
    rows: Sequence[int]


# Has the rows done, unless the event says to stop.
Spread = Callable[[RowsOfMap, threading.Event], None]


@dataclass
class MapsSummary:
    """`left` is how many maps are still to be made where the job was `stopped`."""

    done: list[tuple[MapStep, MapSummary]] = field(default_factory=list)
    skipped: int = 0
    failures: Faults = field(default_factory=list)
    left: int = 0
    stopped: str | None = None
    signal: int | None = None


def predict_maps(job: MapJob, model: PinnedModel, spread: Spread | None = None) -> MapsSummary:
    """Make the maps that are not there. `spread` has the rows of each done elsewhere. Raises
    PredictError before anything is written, and what `spread` does.
    """
    ledgers, summary = Ledgers(), MapsSummary()
    steps = _planned(job, model, ledgers, summary)
    if not steps:
        return summary
    try:
        for step in steps:
            for target in step.targets.values():
                target.parent.mkdir(parents=True, exist_ok=True)
                ledgers.of(target.parent).tidy()
    except OSError as error:
        raise PredictError(f"{error.filename} cannot be written: {error.strerror}.") from None
    asyncio.run(_all(steps, job, model, ledgers, summary, spread))
    summary.failures.sort()
    summary.left = len(steps) - len(summary.done) - len(summary.failures)
    return summary


def _recipe(job: MapJob, model: PinnedModel, kind: str) -> Recipe:
    return Recipe.of(model, kind, job.options)


def _planned(
    job: MapJob, model: PinnedModel, ledgers: Ledgers, summary: MapsSummary
) -> list[MapStep]:
    steps = _steps(job, ledgers, summary)
    files = [
        Step(step.source, target, step.name) for step in steps for target in step.targets.values()
    ]
    refuse_sources_as_targets(files)
    planned = []
    for step in steps:
        verdicts = [
            judge_step(
                Step(step.source, target, step.name),
                _recipe(job, model, kind),
                ledgers,
                overwrite=job.overwrite,
            )
            for kind, target in step.targets.items()
        ]
        for verdict in verdicts:
            if verdict.kind == "refused":
                raise PredictError(verdict.sentence)
        kept = [verdict.sentence for verdict in verdicts if verdict.kind == "kept"]
        if kept:
            summary.failures.append((step.source, kept[0]))
        elif all(verdict.kind == "done" for verdict in verdicts):
            summary.skipped += 1
        else:
            planned.append(step)
    return planned


def _steps(job: MapJob, ledgers: Ledgers, summary: MapsSummary) -> list[MapStep]:
    is_file = job.out.suffix.lower() in SUFFIXES and not job.out.is_dir()
    if is_file:
        if len(job.sources) != 1 or not job.sources[0].is_file():
            raise PredictError(
                f"-o {job.out} is one map, and {' '.join(map(str, job.sources))} is not one "
                "raster; give a folder with -o, or one file."
            )
        polygons = _polygons_file(job)
        return [MapStep(job.sources[0], job.out.name, {"geotiff": job.out, **polygons})]
    if job.polygons is not None and job.polygons not in POLYGONS.values():
        raise PredictError(
            f"--polygons {job.polygons} is one file, and -o {job.out} is a folder of maps; say "
            "--polygons gpkg or --polygons geojson for one beside each map."
        )
    found = find_pictures(job.sources, job.out, ledgers)
    summary.failures += found.faults
    rasters = [(path, name) for path, name in found.pictures if path.suffix.lower() in SUFFIXES]
    others = len(found.pictures) - len(rasters)
    if not rasters:
        raise PredictError(
            f"there is no TIFF in {', '.join(map(str, job.sources))}, and maps are made of "
            "GeoTIFF, BigTIFF and COG files."
        )
    if others:
        summary.failures.append(
            (job.sources[0], f"{others} files there are no TIFFs, and no maps are made of them.")
        )
    names = target_names([name.as_posix() for _, name in rasters], ".tif")
    steps = []
    for (path, name), target in zip(rasters, names, strict=True):
        targets = {"geotiff": job.out / target}
        if job.polygons is not None:
            targets[job.polygons] = (job.out / target).with_suffix(f".{job.polygons}")
        steps.append(MapStep(path, name.as_posix(), targets))
    return steps


def _polygons_file(job: MapJob) -> dict[str, Path]:
    if job.polygons is None:
        return {}
    if job.polygons in POLYGONS.values():
        return {job.polygons: job.out.with_suffix(f".{job.polygons}")}
    path = Path(job.polygons)
    kind = POLYGONS.get(path.suffix.lower())
    if kind is None:
        raise PredictError(
            f"--polygons {job.polygons} must end in .gpkg (GeoPackage, in the raster's CRS) or "
            ".geojson (longitude and latitude)."
        )
    return {kind: path}


async def _all(
    steps: Sequence[MapStep],
    job: MapJob,
    pinned: PinnedModel,
    ledgers: Ledgers,
    summary: MapsSummary,
    spread: Spread | None,
) -> None:
    work = asyncio.create_task(_each(steps, job, pinned, ledgers, summary, spread))
    with stopping_on_signals(summary, work):
        try:
            await work
        except asyncio.CancelledError:
            if summary.signal is None:
                raise
        except OSError as error:
            why = error.strerror or error
            if is_of_a_full_disk(error, job.out if job.out.is_dir() else job.out.parent):
                why = os.strerror(errno.ENOSPC)
            summary.stopped = f"{why}: {error.filename or job.out}"


async def _each(
    steps: Sequence[MapStep],
    job: MapJob,
    pinned: PinnedModel,
    ledgers: Ledgers,
    summary: MapsSummary,
    spread: Spread | None,
) -> None:
    model = LoadedModel(pinned)
    try:
        await model.load()
        for step in steps:
            try:
                made = await _one(step, job, pinned, model, ledgers, spread)
                summary.done.append((step, made))
            except (ServiceError, PredictError) as error:
                summary.failures.append((step.source, str(error)))
    finally:
        await model.close()


async def _one(
    step: MapStep,
    job: MapJob,
    pinned: PinnedModel,
    model: LoadedModel,
    ledgers: Ledgers,
    spread: Spread | None,
) -> MapSummary:
    """One map, with its progress. Raises ServiceError, PredictError and OSError."""
    pictures: dict[Path, Picture] = {}
    for folder in {target.parent for target in step.targets.values()}:
        pictures[folder] = await asyncio.to_thread(Picture.of, step.source, folder)
    kinds = {target: kind for kind, target in step.targets.items()}

    def note(partial: Path, target: Path) -> None:
        """Before it appears: a file without a note counts as somebody else's."""
        kind = kinds.get(target, "geotiff")  # or the file beside it
        ledger = ledgers.read_again(target.parent)
        if os.path.lexists(target) and not (
            ledger.knows(target.name) and ledger.is_unchanged(target.name)
        ):
            raise PredictError(f"{target} was changed or put there meanwhile and stays.")
        recipe = _recipe(job, pinned, kind)
        ledger.add(Note.of_file(partial, target.name, pictures[target.parent], recipe))

    bar: Progress | None = None

    def tell(progress: MapProgress) -> None:
        nonlocal bar
        if bar is None:
            began = progress.seconds
            bar = Progress(progress.total, "px", scaled=True, began_before=began)
        if progress.stage == "writing":
            bar.say("writing the files")
            return
        own = round(progress.rate * progress.seconds)
        bar.at(progress.done, progress.done - own)

    async def made(only_rows: Sequence[int] | None, side: int | None) -> MapSummary:
        return await predict_raster(
            model.inference,
            pinned.id,
            step.source,
            step.targets,
            job.options,
            work=step.work,
            alone=False,
            side=side,
            progress=tell if only_rows is None else None,
            only_rows=only_rows,
            like=job.like,
            noting=note,
        )

    try:
        if spread is None:
            return await made(None, None)
        async with model.inference.lease(pinned.id) as segmenter:
            side = min(segmenter.runner.tile_sides)
        planned = await made([], side)
        of = RowsOfMap(
            step.source.resolve(),
            {kind: target.resolve() for kind, target in step.targets.items()},
            job.options,
            None if job.like is None else job.like.resolve(),
            pinned.id,
            step.work.resolve(),
            side,
            planned.row_numbers,
        )
        stopping = threading.Event()
        try:
            await asyncio.to_thread(spread, of, stopping)
        finally:
            stopping.set()  # where it is this task that was stopped
        return await made(None, side)
    finally:
        if bar is not None:
            bar.__exit__()
