"""One error of each kind, for the examples in the API's description.

Each is raised by the code that raises it in use, with the limits that a server has where nothing is
set, so no example can say what the server does not.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Literal, cast

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.types import Message, Scope

from models.contract import Contract, SegmentationClass
from service.capture.labeled import LabeledFolder, refuse_if_full
from service.catalogue.instance import RuntimeFacts
from service.catalogue.registry import Registry, RegistryOptions, UnknownModelError
from service.catalogue.store import Artefact
from service.domain.model import Model
from service.inference.inference import Inference
from service.inference.jobs import inference_error
from service.inference.limits import InferenceLimits
from service.inference.runner import DEFAULT_TILE_SIDES, Runner
from service.inference.segmenter import Segmenter
from service.job_examples import job_faults
from service.jobs.room import JobLimits
from service.outputs import OUTPUTS, OutputOptions
from service.outputs.png import RGB, write_png
from service.protocols.auth import name_of_caller
from service.protocols.budgets import Budget, RequestLimits, Share
from service.protocols.context import RequestContext
from service.protocols.hosts import AllowedHosts
from service.protocols.keys import KeyFile
from service.protocols.limits import Exchange
from service.protocols.native.body import read_image, read_images
from service.protocols.native.feedback import labeled_or_refuse
from service.protocols.native.health import refuse_if_not_ready, refuse_if_stuck
from service.protocols.native.params import format_named, parse_segment_params
from service.protocols.problems import row_of

BATCH = "/segment/batch"
MEBIBYTE, GIBIBYTE = 2**20, 2**30

STREET: Final = Model(
    Contract(
        name="street",
        classes=(
            SegmentationClass(id=0, name="sky", color="#808080"),
            SegmentationClass(id=1, name="road", color="#804080"),
            SegmentationClass(id=2, name="car", color="#400080"),
        ),
        channels=3,
        stride=32,
        receptive_field_radius=None,
        architecture="unet",
        upsampling="bilinear",
        parameters=0,
        files={},
    ),
    version=1,
)


def raise_examples(
    limits: RequestLimits, inference_limits: InferenceLimits, job_limits: JobLimits
) -> dict[str, Exception]:
    """An error of each kind that a caller may meet, by the slug of its problem.

    Where a route says it in its own words, by route and slug: "/segment/batch body-too-large".
    """
    raised = _Raised()
    _raise_at_the_door(raised, inference_limits.max_batch_seconds)
    for provoke in job_faults(job_limits):
        raised.by(provoke)

    async def raise_the_rest() -> None:
        await _raise_on_the_way_in(raised, limits)
        await _raise_in_the_seam(raised, inference_limits)

    with ThreadPoolExecutor(1) as pool:  # this may be called on an event loop, which runs no other
        pool.submit(asyncio.run, raise_the_rest()).result()
    return raised.errors


class _Raised:
    """Collects what is raised, the first of each kind."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}

    def by(self, provoke: Callable[[], object], route: str | None = None) -> None:
        try:
            provoke()
        except Exception as error:  # noqa: BLE001 - it is what is asked for
            self.note(error, route)

    async def by_waiting(self, work: Awaitable[object], route: str | None = None) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - it is what is asked for
            self.note(error, route)

    def note(self, error: Exception, route: str | None = None) -> None:
        slug = row_of(error).slug
        key = slug if route is None else f"{route} {slug}"
        self.errors.setdefault(key, error.with_traceback(None))


def _raise_at_the_door(raised: _Raised, stuck_after_seconds: float) -> None:
    """What is refused before a body is read."""
    hosts, registry = AllowedHosts([], any_address=False), _registry()
    raised.by(lambda: hosts.check([b"evil.example"], "1.1"))
    raised.by(lambda: name_of_caller(KeyFile(Path(os.devnull)), None, None))
    raised.by(lambda: parse_segment_params(QueryParams("alpha=0.6"), None))
    raised.by(lambda: format_named("tiff"))
    raised.by(lambda: registry.check("street"))
    raised.by(lambda: labeled_or_refuse(None))
    nothing = LabeledFolder(Path(os.devnull), GIBIBYTE, 1)
    raised.by(lambda: nothing.captured("20261128T213055123-1f0a9c3e"))
    raised.by(lambda: refuse_if_full(STREET.contract.name, GIBIBYTE + 1, GIBIBYTE))
    raised.by(lambda: refuse_if_not_ready(registry.not_ready_reasons()), "/health/ready")
    raised.by(lambda: refuse_if_stuck(stuck_after_seconds + 1, stuck_after_seconds), "/health/live")


def _registry() -> Registry[Segmenter]:
    """One that has not begun to load."""

    async def load(artefact: Artefact, model: Model) -> Segmenter:  # noqa: ARG001 - it is not called
        raise AssertionError

    return Registry(Path(os.devnull), RegistryOptions(), load)


async def _raise_on_the_way_in(raised: _Raised, limits: RequestLimits) -> None:
    """What is refused by what a body is, or how it comes."""

    async def announced(most_bytes: int) -> None:
        exchange = _exchange(limits, most_bytes + 1)
        exchange.context.max_body_bytes = most_bytes
        await exchange.receive()

    async def stalled() -> None:
        exchange = _exchange(limits, 2 * MEBIBYTE)
        while True:
            await exchange.receive()

    async def beside_others(which: Literal["upload", "answer"]) -> None:
        exchange = _exchange(limits, MEBIBYTE)
        share: Share = getattr(exchange.context, which)
        share.take(share.limit + 1)
        await exchange.receive()

    text = Request(_scope([(b"content-type", b"text/plain")]))
    await raised.by_waiting(announced(limits.max_upload_bytes))
    await raised.by_waiting(announced(limits.max_batch_upload_bytes), BATCH)
    await raised.by_waiting(stalled())
    await raised.by_waiting(beside_others("upload"))
    await raised.by_waiting(beside_others("answer"))
    await raised.by_waiting(read_image(text))
    await raised.by_waiting(read_images(text, max_images=1), BATCH)


def _exchange(limits: RequestLimits, announced_bytes: int) -> Exchange:
    """That of a request whose client stops after half of its body."""
    context = RequestContext(
        id="",
        arrived=time.monotonic(),
        body_since=time.monotonic(),
        deadline=None,
        max_body_bytes=limits.max_upload_bytes,
        upload=Share(Budget(limits.max_held_upload_bytes)),
        answer=Share(Budget(limits.max_held_answer_bytes)),
    )
    scope = _scope([(b"content-length", str(announced_bytes).encode())])
    context.attach(scope)
    parts: Iterator[Message] = iter(
        [{"type": "http.request", "body": bytes(announced_bytes // 2), "more_body": True}]
    )

    async def receive() -> Message:
        try:
            return next(parts)
        except StopIteration:
            raise TimeoutError from None

    async def send(message: Message) -> None:
        raise AssertionError(message)

    return Exchange(scope, receive, send, limits.upload_timeout_seconds)


def _scope(headers: list[tuple[bytes, bytes]]) -> Scope:
    return {"type": "http", "method": "POST", "path": "/segment", "headers": headers}


async def _raise_in_the_seam(raised: _Raised, limits: InferenceLimits) -> None:
    """What is refused by what the image is, or what is asked of it."""
    with ThreadPoolExecutor(1) as workers:
        segmenter = Segmenter(STREET, cast(Runner, _IdleRunner()), limits, workers)
        inference = Inference(_OneModel(segmenter))

        async def segment(upload: bytes, output: str = "png", **options: object) -> None:
            row = OUTPUTS[output]
            await inference.segment(upload, row, row.options.model_validate(options), None)

        small = _png_without_pixels(4, 6)
        await raised.by_waiting(segment(small, classes="cat"))
        await raised.by_waiting(segment(b"%PDF-1.7"))
        await raised.by_waiting(segment(small))
        await raised.by_waiting(segment(_png_without_pixels(60_000, 60_000)))
        await raised.by_waiting(segment(_png_without_pixels(6000, 8000), "npz", probabilities=True))
        with ExitStack() as places:
            for _ in range(limits.max_queue_images):
                places.enter_context(segmenter.admission.enter())
            await raised.by_waiting(segment(small))
        at_once = inference.segment(small, OUTPUTS["png"], OutputOptions(), time.monotonic())
        await raised.by_waiting(at_once)
    raised.note(inference_error(STREET.id, RuntimeError()))
    raised.note(UnknownModelError.among("strete", STREET.id))


class _IdleRunner:
    """It is not asked to run anything: every image is refused before that."""

    alone = None
    tile_sides = DEFAULT_TILE_SIDES
    facts = RuntimeFacts("openvino", "", "CPU", "", "fp32", 1)

    def capacity(self, _shape: tuple[int, int]) -> int:
        return 1

    def batch(self, _shape: tuple[int, int]) -> int:
        return 1


class _OneModel:
    """A registry that has one model loaded, whatever is asked for."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    @asynccontextmanager
    async def lease(
        self, _selector: str | None, _deadline: float | None
    ) -> AsyncGenerator[Segmenter]:
        yield self._segmenter


def _png_without_pixels(height: int, width: int) -> bytes:
    """A PNG that ends after its header."""
    return b"".join(write_png(height, width, RGB, rows=()))
