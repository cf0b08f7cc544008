"""One error of each kind that jobs have, for the examples in the API's description: examples.py."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from starlette.requests import Request

from service.jobs.errors import JobFolderUnusableError, WorkerFailedError
from service.jobs.folder import JobFolder
from service.jobs.job import Job, Wish
from service.jobs.jobs import check_done
from service.jobs.kept import KeptJobs
from service.jobs.room import JobLimits, Room
from service.jobs.uploads import check_part
from service.protocols.native import tus
from service.protocols.native.jobs import jobs_or_refuse
from service.protocols.problems import RangeNotSatisfiableError

_ID = "wZ0v3mJx1uO5c2Yk8TgQ4A"
_WISH = Wish(model="street/1", format="png", options={})


def job_faults(limits: JobLimits) -> Iterator[Callable[[], object]]:
    """Each raises one error, with the words that it has in use."""
    job = Job.new("", _WISH, "", limits.max_job_bytes).model_copy(update={"id": _ID})
    with closing(KeptJobs(JobFolder(Path(os.devnull)))) as kept:
        room = Room(kept, limits)
        yield lambda: jobs_or_refuse(None)
        yield lambda: kept.get(job.id)
        yield lambda: check_done(job)
        yield lambda: check_part(job, 2**20, is_written=False)
        yield lambda: tus.is_meant(Request(_scope(b"0.2.2")))
        yield lambda: room.check("", limits.max_job_bytes + 1)
        for _ in range(limits.max_key_jobs):
            kept.note(Job.new("", _WISH, "", None))
        yield lambda: room.check("", None)
        kept.note(Job.new("another", _WISH, "", limits.max_folder_bytes))
        yield lambda: room.check("a third", limits.max_job_bytes)
    yield _broken_disk
    yield _lost_worker
    yield _beyond_the_end


def _scope(version: bytes) -> dict[str, object]:
    return {"type": "http", "method": "POST", "headers": [(b"tus-resumable", version)]}


def _broken_disk() -> None:
    raise JobFolderUnusableError.now()


def _lost_worker() -> None:
    raise WorkerFailedError.after(3, "it was ended by signal 9")


def _beyond_the_end() -> None:
    raise RangeNotSatisfiableError(2**20)
