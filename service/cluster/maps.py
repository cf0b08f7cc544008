"""One raster on many machines: `segserve predict ortho.tif -o classes.tif --ray`.

Rows of tiles travel as numbers. An actor reads the raster, runs a row, and leaves it in the map's
work folder, which all nodes share; the map is made of the rows where the command was given. What a
lost node was at is done by another.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from service.cluster.bulk import most_actors
from service.cluster.connection import connected
from service.cluster.errors import ClusterError
from service.cluster.options import BulkLayout
from service.domain.errors import ServiceError
from service.maps.job import predict_raster
from service.predict.loaded import LoadedModel
from service.predict.maps import MapJob, MapsSummary, RowsOfMap, predict_maps
from service.predict.model import PinnedModel
from service.predict.progress import Progress

_LOOK_SECONDS = 0.5
_MOST_LOSSES = 5  # of one row, beyond which it is the row that loses them

log = logging.getLogger(__name__)


class RowMaker:
    """An actor with the model of one device."""

    def __init__(self, of: RowsOfMap, model: PinnedModel) -> None:
        self._of = of
        self._loop = asyncio.new_event_loop()
        self._model = LoadedModel(model)
        self._loop.run_until_complete(self._model.load())

    def make(self, row: int | None) -> str | None:
        """Do a row, if it is not done; None says that the model is loaded. Gives what was wrong."""
        if row is None:
            return None
        of = self._of
        work = predict_raster(
            self._model.inference,
            of.model_id,
            of.source,
            of.targets,
            of.options,
            work=of.work,
            alone=False,
            side=of.side,
            only_rows=[row],
            like=of.like,
        )
        try:
            self._loop.run_until_complete(work)
        except (ServiceError, OSError) as error:
            return str(error)
        return None


def predict_maps_on_cluster(
    job: MapJob, model: PinnedModel, layout: BulkLayout, address: str | None
) -> MapsSummary:
    """As `predict_maps`. Raises PredictError, and ClusterError where the run cannot go on."""
    with connected(address, {}):
        return predict_maps(job, model, spread=partial(_spread, model, layout))


def _spread(
    model: PinnedModel, layout: BulkLayout, of: RowsOfMap, stopping: threading.Event
) -> None:
    try:
        with Progress(len(of.rows), "row") as progress:
            _Spreading(of, model, layout, progress).run(of.rows, stopping)
    except RayError as error:
        log.debug("the run stopped", exc_info=error)
        reason = str(error).strip().splitlines()[-1]
        raise _stopped(reason) from None


def _stopped(reason: str) -> ClusterError:
    return ClusterError(f"the run stopped ({reason}); run the same command again to resume.")


def _refuse_no_node() -> None:
    """One that is lost may come back, or another; of none that is left nobody begins one."""
    if not any(node["Alive"] for node in ray.nodes()):
        raise _stopped("no node of the cluster is left")


@dataclass(frozen=True)
class _Task:
    """What an actor is at: a row, or its start."""

    actor: Any
    row: int | None


class _Spreading:
    """Hands out the rows of one map, one at a time to each actor."""

    def __init__(
        self, of: RowsOfMap, model: PinnedModel, layout: BulkLayout, progress: Progress
    ) -> None:
        self._of, self._model, self._layout, self._progress = of, model, layout, progress
        self._class = ray.remote(num_cpus=layout.cpus, num_gpus=layout.gpus or None)(RowMaker)
        self._running: dict[Any, _Task] = {}
        self._lost: dict[int | None, int] = {}

    def run(self, rows: Sequence[int], stopping: threading.Event) -> None:
        """Raises ClusterError and RayError."""
        waiting = deque(rows)
        try:
            for _ in range(min(most_actors(self._layout), len(waiting))):
                self._begin()
            while waiting or any(task.row is not None for task in self._running.values()):
                done, _ = ray.wait(list(self._running), num_returns=1, timeout=_LOOK_SECONDS)
                if stopping.is_set():
                    return
                if not done:
                    _refuse_no_node()
                    continue
                ended = done[0]
                task = self._running.pop(ended)
                if self._is_done(ended, task):
                    if task.row is not None:
                        self._progress.advance()
                    if waiting:
                        self._give(task.actor, waiting.popleft())
                    continue
                if task.row is not None:
                    waiting.appendleft(task.row)
                self._begin()  # where there is room, once there is some
        finally:
            for task in self._running.values():
                ray.kill(task.actor)

    def _begin(self) -> None:
        self._give(self._class.remote(self._of, self._model), None)

    def _give(self, actor: Any, row: int | None) -> None:
        self._running[actor.make.remote(row)] = _Task(actor, row)

    def _is_done(self, ended: Any, task: _Task) -> bool:
        """False where the actor is lost. Raises ClusterError where the row cannot be done."""
        try:
            fault = ray.get(ended)
        except RayActorError as error:
            self._lost[task.row] = self._lost.get(task.row, 0) + 1
            if self._lost[task.row] > _MOST_LOSSES:
                what = "the model" if task.row is None else f"row {task.row}"
                raise _stopped(f"{what} ended {_MOST_LOSSES + 1} processes: {error}") from None
            return False
        if fault is not None:
            raise _stopped(fault)
        return True
