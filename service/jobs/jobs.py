"""All jobs of this server. Start reading here.

    uploading → queued → running → done or failed → removed by its age, or when its owner says so

What is accepted is on the disk and in the table before its caller is told so, and is taken up again
after a restart.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from service.concurrency import cancel_all
from service.domain.errors import InvalidOptionError, ServiceError
from service.jobs.errors import JobNotDoneError, UnknownJobError
from service.jobs.folder import JobFolder
from service.jobs.job import Job, Result, ResultFile, State
from service.jobs.kept import KeptJobs
from service.jobs.progress import Progress
from service.jobs.room import JobLimits, Room
from service.jobs.running import Describe, Running
from service.jobs.uploads import Uploads
from service.jobs.webhook import Webhooks
from service.jobs.worker import Worker

_SWEEP_SECONDS = 60.0


class Jobs:
    """Used on the event loop only, from `start` to `stop`.

    `describe` is as `Running` says. `webhooks.check` and `room.check` are asked before anything is
    sent, `uploads` take what is sent.
    """

    def __init__(
        self,
        folder: JobFolder,
        limits: JobLimits,
        worker: Worker,
        describe: Describe,
        webhooks: Webhooks,
    ) -> None:
        self.limits = limits
        self._kept = KeptJobs(folder)
        self._worker = worker
        self.webhooks = webhooks
        self.room = Room(self._kept, limits)
        self._running = Running(self._kept, self.room, worker, describe, self._ended)
        self.uploads = Uploads(self._kept, self.room, self._running.wake)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up what an earlier server left. Raises OSError and sqlite3.Error."""
        await self._kept.load()
        self._tasks = [
            asyncio.create_task(self._running.run()),
            asyncio.create_task(self._remove_old()),
        ]
        for job in self._kept:
            if not job.is_open:
                self._ended(job)

    async def stop(self) -> None:
        """End the job at work, which goes on after the next start."""
        await cancel_all(self._tasks)
        await self.webhooks.stop()
        await self._worker.kill()
        await self._kept.stop()

    @property
    def stuck_seconds(self) -> float:
        """How long the disk has been at one piece of work, or a killed process does not end."""
        return max(self._kept.threads.stuck_seconds, self._worker.stuck_seconds)

    @property
    def held_bytes(self) -> int:
        return self._kept.held_bytes

    def counts(self) -> Mapping[State, int]:
        return self._kept.counts()

    def get(self, owner: str, job_id: str) -> Job:
        """Raises UnknownJobError, also for a job of another owner."""
        job = self._kept.get(job_id)
        if job.owner != owner:
            raise UnknownJobError.of(job_id)
        return job

    def of(self, owner: str) -> list[Job]:
        """The owner's jobs, newest first."""
        jobs = [job for job in self._kept if job.owner == owner]
        return sorted(jobs, key=lambda job: job.created, reverse=True)

    def progress_of(self, job: Job) -> Progress | None:
        """That of the job at work; None of another."""
        return self._running.progress if job.state == "running" else None

    def result(self, job: Job, format: str | None) -> tuple[Path, ResultFile]:
        """One file of the result, the main one where no format is named. Raises JobNotDoneError
        and InvalidOptionError.
        """
        result = check_done(job)
        name = format or next(iter(result.files))
        if name not in result.files:
            raise InvalidOptionError(
                f"The job has no result of format {name[:40]!r}; it has {', '.join(result.files)}."
            )
        return self._kept.folder.of(job.id) / result.files[name].file, result.files[name]

    def overview(self, job: Job) -> Path:
        """A picture of the result. Raises JobNotDoneError."""
        result = check_done(job)
        if result.overview is None:
            raise JobNotDoneError("The job's result is a picture itself; it has no overview.")
        return self._kept.folder.of(job.id) / result.overview.file

    async def remove(self, job: Job) -> None:
        """End a job wherever it is, and free what it holds."""
        await self._running.end(job.id)
        await self._kept.remove(job.id)

    def _ended(self, job: Job) -> None:
        if job.untold:
            self.webhooks.tell(job, self._told)

    async def _told(self, job: Job) -> None:
        if job.id in self._kept:
            await self._kept.save(self._kept.get(job.id).model_copy(update={"untold": False}))

    async def _remove_old(self) -> None:
        limits = self.limits
        while True:
            now = time.time()
            for job in self._kept:
                too_old = {
                    "uploading": now - job.created > limits.upload_age_seconds,
                    "done": now - job.since > limits.result_age_seconds,
                    "failed": now - job.since > limits.result_age_seconds,
                }
                if too_old.get(job.state, False):
                    with contextlib.suppress(ServiceError):
                        await self._kept.remove(job.id)
            ages = limits.upload_age_seconds, limits.result_age_seconds
            await asyncio.sleep(min(_SWEEP_SECONDS, *(age / 4 for age in ages)))


def check_done(job: Job) -> Result:
    """Raises JobNotDoneError."""
    if job.result is None:
        raise JobNotDoneError(
            "The job failed and has no result; GET of the job says why."
            if job.state == "failed"
            else f"The job is {job.state} and has no result yet; GET of the job says how far it is."
        )
    return job.result
