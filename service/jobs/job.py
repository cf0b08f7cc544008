"""One job, as it is kept."""

import secrets
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

State = Literal["uploading", "queued", "running", "done", "failed"]

# Those that are still to be worked for.
OPEN: frozenset[State] = frozenset({"uploading", "queued", "running"})


class Wish(BaseModel):
    """What is asked for. `model` is a version, such as "street/1": the same to the end.

    `options` are those of the format that were given. `webhook` is the URL to tell when it is done.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    format: str
    options: dict[str, Any]
    file_name: str | None = None
    webhook: str | None = None


class ResultFile(BaseModel):
    """A file in the job's folder, and what it is outside of it."""

    model_config = ConfigDict(frozen=True)

    file: str
    bytes: int
    media_type: str
    extension: str


class Result(BaseModel):
    """The files by their formats, the main one first, and what is known of them.

    `overview` is a picture to look at, where there is one.
    """

    model_config = ConfigDict(frozen=True)

    files: dict[str, ResultFile]
    facts: dict[str, Any] = {}
    overview: ResultFile | None = None

    @property
    def main(self) -> ResultFile:
        return next(iter(self.files.values()))

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self._all)

    @property
    def names(self) -> list[str]:
        """Of all files that are to be kept."""
        return [file.file for file in self._all]

    @property
    def _all(self) -> list[ResultFile]:
        return [*self.files.values(), *([] if self.overview is None else [self.overview])]


class Job(BaseModel):
    """Times are in seconds of time.time(); `since` is when the state began.

    `owner` is the name of the caller's key, "" where no key is asked for. `size` are the bytes of
    the file, `received` those that lie in the folder. `problem` is a problem (RFC 9457). `attempts`
    counts the ends of the worker at this job.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    owner: str
    wish: Wish
    request_id: str
    state: State
    created: float
    since: float
    size: int | None
    received: int = 0
    attempts: int = 0
    result: Result | None = None
    problem: dict[str, Any] | None = None
    untold: bool = False

    @classmethod
    def new(cls, owner: str, wish: Wish, request_id: str, size: int | None) -> "Job":
        now = time.time()
        return cls(
            id=secrets.token_urlsafe(16),
            owner=owner,
            wish=wish,
            request_id=request_id,
            state="uploading",
            created=now,
            since=now,
            size=size,
            untold=wish.webhook is not None,
        )

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def held_bytes(self) -> int:
        """What it takes of the folder, the part of its file included that is still to come."""
        if self.is_open:
            return max(self.size or 0, self.received)
        return 0 if self.result is None else self.result.bytes

    def became(self, state: State, **changes: Any) -> "Job":
        return self.model_copy(update={"state": state, "since": time.time(), **changes})
