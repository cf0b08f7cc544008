"""Files in, files out: the pipeline without HTTP."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from service.catalogue.registry import Registry, RegistryOptions
from service.domain.errors import ServiceError
from service.inference.concurrency import as_completed
from service.inference.inference import Inference
from service.inference.limits import InferenceLimits
from service.inference.loading import InProcessLoader
from service.inference.segmenter import Segmenter
from service.inputs import readable_suffixes
from service.outputs.output import Output, OutputOptions
from service.runtimes.engine import EngineOptions


class PredictError(Exception):
    """The job cannot begin. The text says what to change."""


@dataclass(frozen=True)
class Job:
    sources: tuple[Path, ...]
    out: Path
    model: str | None
    format: Output
    options: OutputOptions
    overwrite: bool


@dataclass(frozen=True)
class Step:
    """One image file and where its answer goes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Summary:
    """`failures` pairs a file with what was wrong with it."""

    written: int
    skipped: int
    failures: tuple[tuple[Path, str], ...]


def plan(sources: Sequence[Path], out: Path, extension: str) -> list[Step]:
    """A step for each image, folders searched through and mirrored below `out`. Raises PredictError."""
    found = [pair for source in sources for pair in _images_of(source, out)]
    if not found:
        raise PredictError(f"there is no image in {', '.join(map(str, sources))}.")
    names = target_names([relative.as_posix() for _, relative in found], extension)
    return [Step(source, out / name) for (source, _), name in zip(found, names, strict=True)]


def is_image(name: str) -> bool:
    """Whether a file of a folder is taken for an image. One that is named outright is always tried."""
    return PurePosixPath(name).suffix.lower() in readable_suffixes()


def target_names(names: Sequence[str], extension: str) -> list[str]:
    """The relative path of the answer to each relative path. Raises PredictError where two would be one."""
    short = [str(PurePosixPath(name).with_suffix(extension)) for name in names]
    counts = Counter(short)
    # photo.jpg beside photo.png: the whole name keeps their answers apart
    targets = [
        target if counts[target] == 1 else name + extension
        for name, target in zip(names, short, strict=True)
    ]
    clashes = [target for target, n in Counter(targets).items() if n > 1]
    if clashes:
        raise PredictError(
            f"several images would be written to {clashes[0]}; give them in separate commands."
        )
    return targets


def _images_of(source: Path, out: Path) -> Iterable[tuple[Path, Path]]:
    """Each image with its path below the source."""
    if source.is_file():
        yield source, Path(source.name)
    elif source.is_dir():
        for path in sorted(source.rglob("*")):
            if is_image(path.name) and path.is_file() and not path.is_relative_to(out):
                yield path, path.relative_to(source)
    else:
        raise PredictError(f"there is no file or folder {source}.")


async def predict(
    job: Job,
    store: Path,
    registry_options: RegistryOptions,
    engine_options: EngineOptions,
    limits: InferenceLimits,
    workers: int,
) -> Summary:
    """Do the job with one model, loaded for it. Raises PredictError before anything is written."""
    steps = plan(job.sources, job.out, job.format.extension(job.options))
    to_do = [step for step in steps if job.overwrite or not step.target.exists()]
    skipped = len(steps) - len(to_do)
    if not to_do:
        return Summary(0, skipped, ())
    with ThreadPoolExecutor(workers, thread_name_prefix="image") as pool:
        loader = InProcessLoader(engine_options, limits, pool)
        registry = Registry(store, registry_options, loader)
        await registry.start()
        try:
            await registry.wait_until_settled()
            at_once = 2 * _best_batch(registry, job.model)
            failures = await _run(job, to_do, Inference(registry), at_once)
        finally:
            await registry.stop()
    return Summary(len(to_do) - len(failures), skipped, tuple(failures))


def _best_batch(registry: Registry[Segmenter], model: str | None) -> int:
    try:
        return registry.best_batch(model)
    except ServiceError as error:
        faults = [f"{state.id}: {state.error}" for state in registry.states() if state.error]
        raise PredictError(" ".join([str(error), *faults])) from None


async def _run(
    job: Job, steps: list[Step], inference: Inference, at_once: int
) -> list[tuple[Path, str]]:
    failures = []
    work = [partial(_do, job, step, inference) for step in steps]
    # disable=None: no bar where standard error is no terminal
    with tqdm(total=len(steps), unit="image", disable=None) as bar:
        async with aclosing(as_completed(work, at_once)) as outcomes:
            async for source, fault in outcomes:
                bar.update()
                if fault is not None:
                    failures.append((source, fault))
    return sorted(failures)


async def _do(job: Job, step: Step, inference: Inference) -> tuple[Path, str | None]:
    try:
        body = await asyncio.to_thread(step.source.read_bytes)
        answer = await inference.segment(
            body, job.format, job.options, deadline=None, model=job.model
        )
        await asyncio.to_thread(_write, step.target, answer.encoded.chunks)
    except ServiceError as error:
        return step.source, str(error)
    except OSError as error:
        return step.source, f"{error.strerror}: {error.filename}"
    return step.source, None


def _write(target: Path, chunks: Sequence[bytes]) -> None:
    """Write beside and rename, so that what has the final name is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with part.open("wb") as file:
        file.writelines(chunks)
    part.replace(target)
