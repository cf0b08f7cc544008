"""What the routes work with. `app.py` makes one of these an app."""

import asyncio
from dataclasses import dataclass, field

from fastapi import Request

from service.catalogue.registry import Registry
from service.inference.inference import Inference
from service.inference.segmenter import Segmenter
from service.protocols.keys import KeyFile
from service.protocols.limits import UploadBudget
from service.protocols.telemetry.metrics import Metrics
from service.protocols.telemetry.tracing import Tracing


@dataclass(frozen=True)
class AppContext:
    """`keys` None lets every caller in; `tracing` None traces nothing.

    `max_upload_bytes` bounds a body also once it is unpacked. Whoever reads or writes numbers as a large JSON text holds
    `one_large_text`, for lists of numbers need many times its memory.

    A batch request has no more than `max_batch_images_at_once` of its images in the queue, so that others find room there.
    """

    registry: Registry[Segmenter]
    inference: Inference
    metrics: Metrics
    keys: KeyFile | None
    tracing: Tracing | None
    max_batch_request_images: int
    max_batch_images_at_once: int
    stuck_after_seconds: float
    uploads: UploadBudget
    max_upload_bytes: int
    one_large_text: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_live(self) -> bool:
        """False where something hangs that only a restart ends."""
        return self.registry.stuck_seconds() <= self.stuck_after_seconds


def context_of(request: Request) -> AppContext:
    parts = request.app.state.parts
    assert isinstance(parts, AppContext)
    return parts
