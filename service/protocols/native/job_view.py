"""A job as its owner sees it."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from service.jobs.job import Job, State
from service.jobs.jobs import Jobs
from service.protocols.problems import Problem


class ResultView(BaseModel):
    """Where the result is, and what is known of it."""

    url: str = Field(description="GET it, in parts by Range if you like.")
    bytes: int
    media_type: str
    overview: str | None = Field(None, description="Of a map: a picture of it to look at.")
    more: dict[str, str] = Field(description="The files in the other formats asked for, by URL.")
    facts: dict[str, Any] = Field(description="What the headers of POST /segment say, and more.")


class JobView(BaseModel):
    """One job."""

    id: str
    url: str = Field(description="This job: GET it again, or DELETE it.")
    state: State
    model: str = Field(description="The version that does it, from beginning to end.")
    format: str
    file_name: str | None = None
    bytes: int | None = Field(None, description="Of its file, once that is known.")
    received_bytes: int = Field(description="What has arrived of its file.")
    created: datetime
    expires: datetime | None = Field(
        None, description="When it is removed, with its result, or with what came of its file."
    )
    progress: float = Field(
        description="What is done of its pixels, from 0 to 1; then its files are written."
    )
    megapixels_per_second: float | None = Field(None, description="The rate of the job at work.")
    seconds_left: float | None = Field(
        None, description="At that rate, until its files are written."
    )
    result: ResultView | None = None
    problem: Problem | None = Field(None, description="Why it failed.")


class JobList(BaseModel):
    """The caller's jobs, newest first; `next` is what `before` is to be for those that follow."""

    jobs: list[JobView]
    next: str | None = None


def view(job: Job, jobs: Jobs, prefix: str) -> JobView:
    """`prefix` is what a proxy puts before this server's paths."""
    url = address(job, prefix)
    progress = jobs.progress_of(job)
    rate = None if progress is None else progress.pixels_per_second
    left = None if progress is None else progress.seconds_left
    share = 0.0 if progress is None else progress.share
    return JobView(
        id=job.id,
        url=url,
        state=job.state,
        model=job.wish.model,
        format=job.wish.format,
        file_name=job.wish.file_name,
        bytes=job.size,
        received_bytes=job.received,
        created=_time(job.created),
        expires=_expiry(job, jobs),
        progress=1.0 if job.state == "done" else round(share, 4),
        megapixels_per_second=None if rate is None else round(rate / 1e6, 3),
        seconds_left=None if left is None else round(left, 1),
        result=None
        if job.result is None
        else ResultView(
            url=f"{url}/result",
            bytes=job.result.main.bytes,
            media_type=job.result.main.media_type,
            overview=None if job.result.overview is None else f"{url}/overview",
            more={name: f"{url}/result?format={name}" for name in list(job.result.files)[1:]},
            facts=job.result.facts,
        ),
        problem=None if job.problem is None else Problem.model_validate(job.problem),
    )


def address(job: Job, prefix: str) -> str:
    return f"{prefix}/jobs/{job.id}"


def _expiry(job: Job, jobs: Jobs) -> datetime | None:
    if job.state == "uploading":
        return _time(job.created + jobs.limits.upload_age_seconds)
    return None if job.is_open else _time(job.since + jobs.limits.result_age_seconds)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds), UTC)
