"""Folders of images in, folders of answers out, on many machines: `segserve predict --ray`, by Ray Data.

Only paths travel between machines: an actor reads, segments and writes. Its flow is that of `segserve predict`.
"""

import asyncio
import dataclasses
import logging
import posixpath
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Self

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError
from tqdm import tqdm

from models.contract import Contract, ContractError
from service.app import engine_options, image_workers, inference_limits, registry_options
from service.catalogue.registry import Registry
from service.catalogue.store import Selector, default_of, read_artefact, scan
from service.cluster.connection import connected
from service.cluster.errors import ClusterError
from service.cluster.files import Folder, shown
from service.cluster.ledger import FAILURES, Ledger, Pending, key_of
from service.cluster.options import BulkLayout
from service.concurrency import as_completed
from service.domain.errors import ServiceError
from service.domain.segmentation import Segmentation
from service.inference.inference import Inference
from service.inference.loading import InProcessLoader
from service.outputs import OUTPUTS, Encoded, OutputOptions
from service.outputs.output import Output
from service.outputs.runs import find_runs
from service.settings import Settings

PROGRESS_SECONDS = 30.0

Batch = dict[str, NDArray[Any]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BulkJob:
    """One source folder and one target folder, by path or URI."""

    source: str
    target: str
    model: str | None
    format: str
    options: OutputOptions
    overwrite: bool


@dataclass(frozen=True)
class BulkSummary:
    written: int
    skipped: int
    failed: int
    failures: str


@dataclass(frozen=True)
class _Counted(Encoded):
    """An answer, and the pixels of each class in it."""

    class_pixels: list[int]


class Segmenting:
    """An actor with the model of one device. `settings` has the model selected."""

    def __init__(
        self, job: BulkJob, settings: Settings, source: Folder, target: Folder, run: int
    ) -> None:
        self._job, self._source, self._target, self._run = job, source, target, run
        self._ledger = Ledger(target)
        self._format = _CountingOutput.of(OUTPUTS[job.format])
        # One call at a time, from whichever thread Ray chooses.
        self._loop = asyncio.new_event_loop()
        workers = ThreadPoolExecutor(image_workers(settings), thread_name_prefix="image")
        loader = InProcessLoader(engine_options(settings), inference_limits(settings), workers)
        self._registry = Registry(settings.model_store, registry_options(settings), loader)
        self._inference = Inference(self._registry)
        self._loop.run_until_complete(self._load())

    def __call__(self, batch: Batch) -> Batch:
        """Segment the images of columns `source` and `target`; gives a row with how many were done and how many failed."""
        steps = list(zip(batch["source"].tolist(), batch["target"].tolist(), strict=True))
        key = key_of([target for _, target in steps])
        rows = self._ledger.find(self._run, key)  # Ray may give a batch again after a loss
        if rows is None:
            rows = self._loop.run_until_complete(self._segment_all(steps))
            self._ledger.record(self._run, key, rows)
        failed = sum(row["error"] is not None for row in rows)
        return {"images": np.array([len(rows)]), "failed": np.array([failed])}

    async def _load(self) -> None:
        await self._registry.start()
        await self._registry.wait_until_settled()
        self._registry.check(self._job.model)

    async def _segment_all(self, steps: list[tuple[str, str]]) -> list[dict[str, Any]]:
        work = [partial(self._segment, source, target) for source, target in steps]
        at_once = 2 * self._registry.best_batch(self._job.model)
        async with aclosing(as_completed(work, at_once)) as rows:
            return [row async for row in rows]

    async def _segment(self, source: str, target: str) -> dict[str, Any]:
        row: dict[str, Any] = {"source": source, "target": target, "error": None}
        try:
            body = await asyncio.to_thread(self._source.read, source)
            answer = await self._inference.segment(
                body,
                self._format,
                self._job.options,
                deadline=None,
                model=self._job.model,
                file_name=posixpath.basename(source),
            )
        except (ServiceError, OSError) as error:
            return row | {"error": str(error)}
        encoded = answer.encoded
        assert isinstance(encoded, _Counted)
        await asyncio.to_thread(self._target.write, target, encoded.body)
        return row | {
            "width": answer.width,
            "height": answer.height,
            "class_pixels": encoded.class_pixels,
        }


def predict_on_cluster(
    job: BulkJob, settings: Settings, layout: BulkLayout, address: str | None
) -> BulkSummary:
    """Do what of the job is not done yet. Raises ClusterError where it cannot be begun or ended."""
    source, target = Folder.at(job.source), Folder.at(job.target)
    settings, model_id, contract = _pinned(settings, job.model)
    job = dataclasses.replace(job, model=model_id)
    try:
        if not source.exists():
            raise ClusterError(f"there is no folder {shown(job.source)}.")
        with connected(address, {}):
            return _go_on(job, settings, layout, source, target, contract)
    except RayError as error:
        log.debug("the run stopped", exc_info=error)
        raise _stopped(str(error).strip().splitlines()[-1]) from None
    except OSError as error:
        raise _stopped(str(error)) from None


def _stopped(reason: str) -> ClusterError:
    return ClusterError(f"the run stopped ({reason}); the same command goes on.")


def _go_on(
    job: BulkJob,
    settings: Settings,
    layout: BulkLayout,
    source: Folder,
    target: Folder,
    contract: Contract,
) -> BulkSummary:
    ledger = Ledger(target)
    extension = OUTPUTS[job.format].extension(job.options)
    run, pending = ledger.begin(source, extension, overwrite=job.overwrite)
    if pending.images + pending.skipped == 0:
        raise ClusterError(f"there is no image in {shown(job.source)}.")
    done = sum(_run(job, settings, layout, source, target, run, pending))
    failed = ledger.finish(run, contract.classes)
    failures = posixpath.join(shown(job.target), FAILURES)
    return BulkSummary(done - failed, pending.skipped, failed, failures)


def _run(
    job: BulkJob,
    settings: Settings,
    layout: BulkLayout,
    source: Folder,
    target: Folder,
    run: int,
    pending: Pending,
) -> Iterator[int]:
    """Yields how many images each batch was, as it is done."""
    if not pending.images:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    images = ray.data.read_parquet(
        [posixpath.join(target.path, part) for part in pending.parts],
        filesystem=target.filesystem,
        concurrency=2,  # lists of paths: more readers would only take room from actors
    ).repartition(target_num_rows_per_block=layout.images_per_task)
    outcomes = images.map_batches(
        Segmenting,
        fn_constructor_args=(job, settings, source, target, run),
        batch_size=layout.images_per_task,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=_most_actors(layout)),
        num_cpus=layout.cpus,
        num_gpus=layout.gpus or None,
    )
    with _Progress(pending.images) as progress:
        for outcome in outcomes.iter_rows():
            progress.advance(int(outcome["images"]))
            yield int(outcome["images"])


def _most_actors(layout: BulkLayout) -> int:
    """As many as the cluster has room for, where the layout does not say."""
    if layout.actors:
        return layout.actors
    resources = ray.cluster_resources()
    room = [resources.get("CPU", 0.0) / layout.cpus] if layout.cpus else []
    room += [resources.get("GPU", 0.0) / layout.gpus] if layout.gpus else []
    return max(1, int(min(room, default=1.0)))


class _Progress:
    """A bar on a terminal, and a line now and then in a log: how many, how fast, how long still."""

    def __init__(self, total: int) -> None:
        self._bar = tqdm(total=total, unit="image", disable=None)
        self._total, self._done = total, 0
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, images: int) -> None:
        self._done += images
        self._bar.update(images)
        now = time.monotonic()
        if self._bar.disable and (now - self._told > PROGRESS_SECONDS or self._done == self._total):
            self._told = now
            line = tqdm.format_meter(
                self._done, self._total, now - self._began, unit="image", ncols=0
            )
            tqdm.write(line.strip(), file=sys.stderr)


class _CountingOutput(Output):
    """An output whose answers also tell the pixels of each class."""

    @classmethod
    def of(cls, output: Output) -> Self:
        return cls(**{field.name: getattr(output, field.name) for field in fields(output)})

    def write(self, segmentation: Segmentation, options: OutputOptions) -> _Counted:
        encoded = super().write(segmentation, options)
        found = find_runs(segmentation.class_map.reshape(-1)).pixels()
        pixels = [found.get(known.id, 0) for known in segmentation.model.contract.classes]
        return _Counted(encoded.chunks, encoded.media_type, encoded.extension, pixels)


def _pinned(settings: Settings, model: str | None) -> tuple[Settings, str, Contract]:
    """Settings for the version that will answer alone, its id, and its contract: the same for every actor, and after
    a stop. Raises ClusterError.
    """
    found = scan(settings.model_store).models
    name = model or settings.default_model or default_of(found) or ""
    try:
        selector = Selector.parse(name)
        versions = found.get(selector.name, {})
        artefact = versions[selector.version or max(versions)]
        contract, _ = read_artefact(artefact)
    except (ValueError, KeyError, ContractError) as error:
        raise ClusterError(
            f"the model {name!r} cannot be taken from {settings.model_store}: {error}"
        ) from None
    pinned = {
        "model_store": settings.model_store.resolve(),
        "models": (artefact.id,),
        "default_model": artefact.id,
    }
    return settings.model_copy(update=pinned), artefact.id, contract
