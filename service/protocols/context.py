"""What the routes work with: the app's parts, and what one request carries on its way."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from starlette.requests import Request
from starlette.types import Scope

from service.capture.labeled import LabeledFolder
from service.catalogue.registry import Registry
from service.inference.inference import Inference, Timings
from service.inference.segmenter import Segmenter
from service.jobs.jobs import Jobs
from service.protocols.budgets import Budget, RequestLimits, Share
from service.protocols.fetching import Fetcher
from service.protocols.keys import KeyFile
from service.protocols.telemetry.metrics import Metrics
from service.protocols.telemetry.request_id import begin_request
from service.protocols.telemetry.tracing import Tracing, server_timing

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_SCOPE_KEY: Final = "segserve.context"


@dataclass(frozen=True)
class AppContext:
    """`keys` None lets every caller in; `tracing` None traces nothing.

    `uploads` counts the bodies in memory, `answers` what is encoded and not yet sent. A batch
    request has no more than `max_batch_images_at_once` of its images in the queue, so that others
    find room there. Whoever reads or writes numbers as a large JSON text holds `one_large_text`,
    for lists of numbers need many times its memory. `fetcher` None fetches no files by URLs.
    `version_labels` has the version of a model and label. `jobs` None does none. `labeled` takes
    pictures that come back corrected, one at a time; None where the server keeps none.
    """

    registry: Registry[Segmenter]
    inference: Inference
    metrics: Metrics
    keys: KeyFile | None
    tracing: Tracing | None
    limits: RequestLimits
    uploads: Budget
    answers: Budget
    max_batch_request_images: int
    max_batch_images_at_once: int
    stuck_after_seconds: float
    fetcher: Fetcher | None = None
    labeled: LabeledFolder | None = None
    version_labels: Mapping[tuple[str, str], str] = field(default_factory=dict)
    one_large_text: asyncio.Lock = field(default_factory=asyncio.Lock)
    one_feedback: asyncio.Lock = field(default_factory=asyncio.Lock)
    jobs: Jobs | None = None
    max_image_pixels: int = 0

    @property
    def is_live(self) -> bool:
        """False where something hangs that only a restart ends."""
        stuck = 0.0 if self.jobs is None else self.jobs.stuck_seconds
        return max(stuck, self.registry.stuck_seconds()) <= self.stuck_after_seconds

    def begin_request(self, sent_id: str | None) -> "RequestContext":
        """That of a request that arrives now; `sent_id` is the id that its client gave it."""
        arrived = time.monotonic()
        return RequestContext(
            id=begin_request(sent_id),
            arrived=arrived,
            body_since=arrived,
            deadline=arrived + self.limits.request_timeout_seconds,
            max_body_bytes=self.limits.max_upload_bytes,
            upload=Share(self.uploads),
            answer=Share(self.answers),
        )


class Answered(Protocol):
    """What came out of the seam, in whichever form."""

    @property
    def model_id(self) -> str: ...

    @property
    def timings(self) -> Timings: ...


@dataclass(slots=True)
class RequestContext:
    """What one request carries, whatever protocol it speaks.

    `arrived` and `deadline` are in seconds of time.monotonic(), and so is `body_since`: the body
    has its time from then on. What stands below `answer` is for
    the log, and is filled in on the way: the caller's name, the model that answered, the slug of
    the problem, the stages' milliseconds.
    """

    id: str
    arrived: float
    body_since: float
    deadline: float | None
    max_body_bytes: int
    upload: Share
    answer: Share
    span: "Span | None" = None
    caller: str | None = None
    model: str | None = None
    problem: str | None = None
    server_timing: str | None = None

    def note_answer(self, answer: "Answered", tracing: Tracing | None) -> str:
        """Note who gave `answer` and where the time went. Gives the value of Server-Timing."""
        self.model = answer.model_id
        if tracing is not None and self.span is not None:
            tracing.add_stages(self.span, answer.model_id, answer.timings)
        self.server_timing = server_timing(answer.timings, self.arrived)
        return self.server_timing

    def attach(self, scope: Scope) -> None:
        """Let `request_context` find it."""
        scope[_SCOPE_KEY] = self


def context_of(request: Request) -> AppContext:
    parts = request.app.state.parts
    assert isinstance(parts, AppContext)
    return parts


def request_context(scope: Scope) -> RequestContext:
    context = scope[_SCOPE_KEY]
    assert isinstance(context, RequestContext)
    return context


def note_problem(scope: Scope, slug: str) -> None:
    """Note how the request was refused. What runs outside of the app, as in Ray's proxies, has no
    context to note it in."""
    context = scope.get(_SCOPE_KEY)
    if isinstance(context, RequestContext):
        context.problem = slug
