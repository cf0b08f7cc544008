"""The order in which jobs are done, without a network or a model."""

import asyncio
from pathlib import Path
from typing import Any, cast

from service.domain.errors import ServiceError
from service.jobs.folder import JobFolder
from service.jobs.job import Job, Wish
from service.jobs.jobs import Jobs
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
