"""What is known of all jobs: in memory for whoever asks, in the table for the next start."""

import contextlib
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.domain.disk import is_of_a_full_disk
from service.jobs.errors import JobFolderFullError, JobFolderUnusableError, UnknownJobError
from service.jobs.folder import JobFolder
from service.jobs.job import Job, State
from service.jobs.threads import DiskThreads

_FULL_RETRY_SECONDS = 600.0

log = logging.getLogger(__name__)


class KeptJobs:
    """Used on the event loop only."""

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self.threads = DiskThreads()
        self._jobs: dict[str, Job] = {}

    async def load(self) -> None:
        """Raises OSError and sqlite3.Error."""
        for job in await self.threads.table(self.folder.read):
            # the job at work goes on; its time in the queue counts from when it came
            state: State = "queued" if job.state == "running" else job.state
            self._jobs[job.id] = job.model_copy(update={"state": state})

    async def stop(self) -> None:
        with contextlib.suppress(Exception):
            await self.threads.table(self.folder.close)
        self.close()

    def close(self) -> None:
        """Let the threads end."""
        self.threads.close()

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._jobs

    def get(self, job_id: str) -> Job:
        """Raises UnknownJobError."""
        try:
            return self._jobs[job_id]
        except KeyError:
            raise UnknownJobError.of(job_id) from None

    @property
    def held_bytes(self) -> int:
        return sum(job.held_bytes for job in self._jobs.values())

    def counts(self) -> Mapping[State, int]:
        return Counter(job.state for job in self._jobs.values())

    def note(self, job: Job) -> Job:
        """Keep in memory alone."""
        self._jobs[job.id] = job
        return job

    async def save(self, job: Job) -> Job:
        """Keep it as it is now. Raises UnknownJobError where it was removed meanwhile."""
        self.get(job.id)
        self._jobs[job.id] = job
        with disk_faults():
            await self.threads.table(self.folder.save, job)
        return job

    async def make(self, job: Job) -> None:
        """Begin to keep a job, in memory alone as yet, with a folder for its files."""
        self._jobs[job.id] = job
        with disk_faults():
            await self.threads.file(self.folder.make, job.id)

    async def sync(self, job: Job) -> None:
        """Let the names of the job's files outlive a power cut."""
        with disk_faults():
            await self.threads.file(_sync_folder, self.folder.of(job.id))

    async def keep_only(self, job: Job, *names: str) -> None:
        """Remove all files of a job but these."""
        with contextlib.suppress(OSError):
            await self.threads.file(self.folder.keep_only, job.id, names)

    async def remove(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)
        with disk_faults():
            await self.threads.table(self.folder.remove, job_id)


@contextlib.contextmanager
def disk_faults() -> Iterator[None]:
    """Faults of the disk in words for a caller. Raises JobFolderFullError and
    JobFolderUnusableError.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if is_of_a_full_disk(error):
            raise JobFolderFullError(
                "The disk of jobs is full. Try again after the time that Retry-After gives, or "
                "DELETE jobs whose results you have.",
                _FULL_RETRY_SECONDS,
            ) from error
        log.error("the folder of jobs cannot be written to", exc_info=error)
        raise JobFolderUnusableError.now() from error


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
