"""What waits for an engine, and what is in its hands."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import InferenceError, ModelUnavailableError
from service.inference.runner import AloneWork, Signature
from service.runtimes.engine import Stage

STUCK_RETRY_SECONDS = 30.0


class Bucket(NamedTuple):
    """What may share a batch; work of the signature "alone" never does."""

    signature: Signature | Stage | Literal["alone"]
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


@dataclass(eq=False)
class Job:
    """An image (H, W, C), what a stage takes of one, or all that is to be done on the engine's
    thread for one.
    """

    bucket: Bucket
    work: NDArray[np.uint8] | tuple[NDArray[Any], ...] | AloneWork[Any]
    deadline: float | None
    number: int
    future: asyncio.Future[Any]

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True)
class Batch:
    """Jobs that are in the engine's hands, since `started` in seconds of time.monotonic()."""

    jobs: list[Job]
    number: int
    started: float

    @property
    def bucket(self) -> Bucket:
        return self.jobs[0].bucket

    def fail(self, make_error: Callable[[], Exception]) -> None:
        for job in self.jobs:
            job.fail(make_error())


def inference_error(model_id: str, cause: BaseException | None) -> InferenceError:
    error = InferenceError(
        f"{model_id} failed on this image. The cause is in the server's log; if it fails again, "
        "tell the operator."
    )
    error.__cause__ = cause
    return error


def stuck_error(model_id: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{model_id} has been at one batch for too long and takes no other. If it goes on, "
        "the operator must restart the server.",
        retry_after_seconds=STUCK_RETRY_SECONDS,
    )


def unloaded_error(model_id: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{model_id} was unloaded. Send the image again.", retry_after_seconds=1.0
    )
