"""Folders of images in, folders of answers out, on many machines: `segserve predict --ray`, by Ray
Data.

Only paths travel between machines: an actor reads, segments and writes. Its flow is that of
`segserve predict`.
"""

import asyncio
import logging
import posixpath
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Self

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError

from service.cluster.connection import connected
from service.cluster.errors import ClusterError
from service.cluster.files import Folder, shown
from service.cluster.ledger import FAILURES, STEP, Ledger, Pending, key_of
from service.cluster.options import BulkLayout
from service.concurrency import as_completed
from service.domain.errors import ServiceError
from service.domain.segmentation import Segmentation
from service.outputs import OUTPUTS, Encoded, OutputOptions
from service.outputs.output import Output
from service.outputs.runs import find_runs
from service.predict.ledger import Recipe
from service.predict.loaded import LoadedModel
from service.predict.model import PinnedModel
from service.predict.progress import Progress

Batch = dict[str, NDArray[Any]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BulkJob:
    """One source folder and one target folder, by path or URI."""

    source: str
    target: str
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
    """An actor with the model of one device."""

    def __init__(
        self, job: BulkJob, model: PinnedModel, source: Folder, target: Folder, run: int
    ) -> None:
        self._job, self._source, self._target, self._run = job, source, target, run
        self._ledger = Ledger(target)
        self._format = _CountingOutput.of(OUTPUTS[job.format])
        # One call at a time, from whichever thread Ray chooses.
        self._loop = asyncio.new_event_loop()
        self._model = LoadedModel(model)
        self._loop.run_until_complete(self._model.load())

    def __call__(self, batch: Batch) -> Batch:
        """Segment the images of a list's rows; gives a row with how many were done and how many
        failed.
        """
        columns = (batch[column].tolist() for column in STEP)
        steps = [dict(zip(STEP, row, strict=True)) for row in zip(*columns, strict=True)]
        key = key_of([step["target"] for step in steps])
        rows = self._ledger.find(self._run, key)  # Ray may give a batch again after a loss
        if rows is None:
            rows = self._loop.run_until_complete(self._segment_all(steps))
            self._ledger.record(self._run, key, rows)
        failed = sum(row["error"] is not None for row in rows)
        return {"images": np.array([len(rows)]), "failed": np.array([failed])}

    async def _segment_all(self, steps: list[dict[str, str]]) -> list[dict[str, Any]]:
        work = [partial(self._segment, step) for step in steps]
        async with aclosing(as_completed(work, self._model.at_once)) as rows:
            return [row async for row in rows]

    async def _segment(self, step: dict[str, str]) -> dict[str, Any]:
        row: dict[str, Any] = {**step, "error": None}
        try:
            body = await asyncio.to_thread(self._source.read, step["source"])
            answer = await self._model.segment(
                body, self._format, self._job.options, posixpath.basename(step["source"])
            )
        except (ServiceError, OSError) as error:
            return row | {"error": str(error)}
        encoded = answer.encoded
        assert isinstance(encoded, _Counted)
        await asyncio.to_thread(self._target.write, step["target"], *encoded.chunks)
        return row | {
            "width": answer.width,
            "height": answer.height,
            "class_pixels": encoded.class_pixels,
        }


def predict_on_cluster(
    job: BulkJob, model: PinnedModel, layout: BulkLayout, address: str | None
) -> BulkSummary:
    """Do what of the job is not done yet. Raises ClusterError where it cannot be begun or ended."""
    source, target = Folder.at(job.source), Folder.at(job.target)
    try:
        if not source.exists():
            raise ClusterError(f"there is no folder {shown(job.source)}.")
        if source == target:
            raise ClusterError(
                f"{shown(job.source)} cannot hold both the images and their answers; give another "
                "folder with -o."
            )
        with connected(address, {}):
            return _go_on(job, model, layout, source, target)
    except RayError as error:
        log.debug("the run stopped", exc_info=error)
        raise _stopped(str(error).strip().splitlines()[-1]) from None
    except OSError as error:
        raise _stopped(str(error)) from None


def _stopped(reason: str) -> ClusterError:
    return ClusterError(f"the run stopped ({reason}); run the same command again to resume.")


def _go_on(
    job: BulkJob, model: PinnedModel, layout: BulkLayout, source: Folder, target: Folder
) -> BulkSummary:
    ledger = Ledger(target)
    recipe = Recipe.of(model, job.format, job.options)
    extension = OUTPUTS[job.format].extension(job.options)
    run, pending = ledger.begin(source, recipe, extension, overwrite=job.overwrite)
    if pending.images + pending.skipped == 0:
        raise ClusterError(f"there is no image in {shown(job.source)}.")
    done = sum(_run(job, model, layout, source, target, run, pending))
    failed = ledger.finish(run, model.contract.classes)
    failures = posixpath.join(shown(job.target), FAILURES)
    return BulkSummary(done - failed, pending.skipped, failed, failures)


def _run(
    job: BulkJob,
    model: PinnedModel,
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
        fn_constructor_args=(job, model, source, target, run),
        batch_size=layout.images_per_task,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most_actors(layout)),
        num_cpus=layout.cpus,
        num_gpus=layout.gpus or None,
    )
    with Progress(pending.images) as progress:
        for outcome in outcomes.iter_rows():
            progress.advance(int(outcome["images"]))
            yield int(outcome["images"])


def most_actors(layout: BulkLayout) -> int:
    """As many as the cluster has room for, where the layout does not say."""
    if layout.actors:
        return layout.actors
    resources = ray.cluster_resources()
    room = [resources.get("CPU", 0.0) / layout.cpus] if layout.cpus else []
    room += [resources.get("GPU", 0.0) / layout.gpus] if layout.gpus else []
    return max(1, int(min(room, default=1.0)))


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
