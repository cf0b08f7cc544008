"""The jobs that are queued, done one after the other."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from service.concurrency import cancel_all
from service.domain.errors import ServiceError
from service.jobs.errors import UnknownJobError, WorkerFailedError
from service.jobs.folder import UPLOAD
from service.jobs.job import Job, Result
from service.jobs.kept import KeptJobs
from service.jobs.progress import Progress
from service.jobs.room import Room
from service.jobs.worker import Event, Worker, WorkerLostError

# A worker that is lost so often at one place has met a picture that it cannot do.
MOST_ATTEMPTS = 3

# A process that has nothing to do keeps its model so long.
IDLE_SECONDS = 30.0

Describe = Callable[[ServiceError, str], dict[str, Any]]

log = logging.getLogger(__name__)


class Running:
    """Used on the event loop only.

    `describe` makes a problem of an error and the id of a request; `ended` is called with each job
    that is done or has failed.
    """

    def __init__(
        self,
        kept: KeptJobs,
        room: Room,
        worker: Worker,
        describe: Describe,
        ended: Callable[[Job], None],
    ) -> None:
        self._kept, self._room, self._worker = kept, room, worker
        self._describe, self._ended = describe, ended
        self._served: dict[str, float] = {}  # when the last job of each owner began
        self._at_work: tuple[str, asyncio.Task[None]] | None = None
        self._wake = asyncio.Event()
        self.progress = Progress()

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled, which ends the job at work: it is to be done anew."""
        while True:
            job = self._next()
            if job is None:
                await self._wait()
                continue
            self._served[job.owner] = time.monotonic()
            task = asyncio.create_task(self._do(job))
            self._at_work = job.id, task
            try:
                await asyncio.wait({task})
            finally:
                self._at_work = None
                await cancel_all([task])
            fault = None if task.cancelled() else task.exception()
            if fault is not None and not isinstance(fault, UnknownJobError):
                log.error("job %s could not be noted", job.id, exc_info=fault)
                await asyncio.sleep(1.0)  # the disk's fault: no faster than it can be mended

    async def _wait(self) -> None:
        """Until there may be something to do. The process and its model are given up meanwhile, but
        not at once.
        """
        self._wake.clear()
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            await self._worker.rest()
            await self._wake.wait()

    async def end(self, job_id: str) -> None:
        """Let go of a job where it is at work."""
        if self._at_work is not None and self._at_work[0] == job_id:
            await cancel_all([self._at_work[1]])

    def _next(self) -> Job | None:
        """The oldest of the owner whose turn was the longest ago."""
        queued = [job for job in self._kept if job.state == "queued"]
        return min(
            queued, key=lambda job: (self._served.get(job.owner, 0.0), job.created), default=None
        )

    async def _do(self, job: Job) -> None:
        self.progress = Progress()
        self._kept.get(job.id)  # may be gone by now
        # In memory alone: after a restart it is queued in any case.
        job = self._kept.note(job.became("running"))
        began = time.monotonic()
        order = {
            "event": "job",
            "folder": str(self._kept.folder.of(job.id)),
            "request_id": job.request_id,
            "wish": job.wish.model_dump(),
        }
        try:
            event = await self._worker.run(order, self._note)
        except WorkerLostError as lost:
            await self._lost(job, lost)
            return
        if event["event"] == "done":
            result = Result.model_validate(event["result"])
            self._room.seconds.append(time.monotonic() - began)
            await self._finish(job.became("done", result=result))
        else:
            await self._finish(job.became("failed", problem=event["problem"]))

    async def _finish(self, job: Job) -> None:
        names = [] if job.result is None else job.result.names
        # First what is in nobody's way after a restart: the table may need its room.
        await self._kept.keep_only(job, UPLOAD, *names)
        await self._kept.save(job)
        await self._kept.keep_only(job, *names)
        self._ended(job)

    def _note(self, event: Event) -> None:
        if event["event"] == "progress":
            self.progress.note(event["done"], event["total"])

    async def _lost(self, job: Job, lost: WorkerLostError) -> None:
        got_on = (self.progress.first or 0) < self.progress.done
        attempts = 1 if got_on else job.attempts + 1
        log.error("the process at job %s is lost: %s (attempt %d)", job.id, lost, attempts)
        if attempts < MOST_ATTEMPTS:
            await self._kept.save(job.became("queued", attempts=attempts))
            return
        error = WorkerFailedError.after(attempts, str(lost))
        problem = self._describe(error, job.request_id)
        await self._finish(job.became("failed", problem=problem, attempts=attempts))
