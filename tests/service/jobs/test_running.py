"""The order in which jobs are done, and a disk that is full, without a network or a model."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest

from service.domain.errors import ServiceError
from service.jobs.errors import JobFolderFullError
from service.jobs.folder import JobFolder
from service.jobs.job import Job, Wish
from service.jobs.jobs import Jobs
from service.jobs.progress import Progress
from service.jobs.room import JobLimits
from service.jobs.webhook import Webhooks
from service.jobs.worker import Event, Worker

WISH = Wish(model="m/1", format="png", options={})
LIMITS = JobLimits(10**6, 10**7, 100, 50, 3600.0, 3600.0)


class RecordingWorker:
    """Fails each job at once, and notes whose it was by its request's id."""

    stuck_seconds = 0.0

    def __init__(self) -> None:
        self.done: list[str] = []

    async def run(self, order: Event, _tell: object) -> Event:
        self.done.append(order["request_id"])
        await asyncio.sleep(0)
        return {"event": "failed", "problem": {"detail": "no picture"}}

    async def rest(self) -> None:
        pass

    async def kill(self) -> None:
        pass


def describe(error: ServiceError, request_id: str) -> dict[str, Any]:
    return {"detail": str(error), "request_id": request_id}


async def accepted(jobs: Jobs, owner: str, name: str) -> Job:
    async with jobs.uploads.whole(owner, WISH, name) as upload:
        await upload.write(b"x")
    return upload.job


async def order_of(folder: Path, sent: list[tuple[str, str]]) -> list[str]:
    """In which order jobs are done that all wait when the first one begins."""
    taken = JobFolder(folder)
    taken.take()
    idle = Jobs(
        taken, LIMITS, cast(Worker, RecordingWorker()), describe, Webhooks(frozenset(), b"")
    )
    for owner, name in sent:
        await accepted(idle, owner, name)
    await idle.stop()
    taken = JobFolder(folder)
    taken.take()
    worker = RecordingWorker()
    jobs = Jobs(taken, LIMITS, cast(Worker, worker), describe, Webhooks(frozenset(), b""))
    await jobs.start()
    while len(worker.done) < len(sent):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await jobs.stop()
    return worker.done


def test_who_sends_many_does_not_keep_out_who_sends_one(tmp_path: Path) -> None:
    sent = [("ada", "a1"), ("ada", "a2"), ("ada", "a3"), ("bob", "b1")]
    assert asyncio.run(order_of(tmp_path, sent)) == ["a1", "b1", "a2", "a3"]


class FullFolder(JobFolder):
    """Its table takes nothing while `is_full`, as SQLite has it on a full disk."""

    is_full = False

    def save(self, job: Job) -> None:
        self._fill()
        super().save(job)

    def _forget(self, job_id: str) -> None:
        self._fill()
        super()._forget(job_id)

    def _fill(self) -> None:
        if self.is_full:
            with sqlite3.connect(":memory:") as table:
                table.execute("PRAGMA max_page_count = 1")
                table.execute("CREATE TABLE t (x)")


def test_a_full_disk_is_said_to_be_and_what_is_removed_is_gone(tmp_path: Path) -> None:
    folder = FullFolder(tmp_path)

    async def fill() -> None:
        folder.take()
        worker = RecordingWorker()
        jobs = Jobs(folder, LIMITS, cast(Worker, worker), describe, Webhooks(frozenset(), b""))
        job = await accepted(jobs, "ada", "a1")
        (folder.of(job.id) / "work").mkdir()
        folder.is_full = True
        with pytest.raises(JobFolderFullError, match="disk of jobs is full"):
            await jobs.uploads.announce("ada", WISH, "a2", 10)
        await jobs.start()
        while jobs.get("ada", job.id).state != "failed":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert worker.done == ["a1"]
        assert [path.name for path in folder.of(job.id).iterdir()] == ["upload"]
        with pytest.raises(JobFolderFullError):
            await jobs.remove(jobs.get("ada", job.id))
        assert not folder.of(job.id).exists()
        await jobs.stop()

    asyncio.run(fill())
    folder.is_full = False
    folder.take()
    assert folder.read() == []
    folder.close()


def test_the_rate_is_that_of_the_pixels_and_no_time_is_told_for_the_files() -> None:
    progress = Progress(started=10.0, noted=20.0, first=0, done=5_000_000, total=10_000_000)
    assert (progress.pixels_per_second, progress.seconds_left) == (500_000, 10.0)
    progress.done = progress.total
    assert (progress.pixels_per_second, progress.seconds_left) == (1_000_000, None)
