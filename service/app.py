"""The assembly: the one file that knows every part."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from typing import Any, Protocol

from fastapi import FastAPI
from fastapi.routing import APIRoute
from prometheus_client.core import Metric
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from service.capture.writer import Capture
from service.catalogue.instance import InstanceLoader
from service.catalogue.registry import Registry
from service.examples import STREET, raise_examples
from service.inference.inference import Inference
from service.inference.limits import InferenceLimits
from service.inference.loading import InProcessLoader
from service.inference.observer import Observer
from service.inference.segmenter import Segmenter
from service.inference.watching import Watchers
from service.job_parts import make_job_limits, make_jobs
from service.parts import (
    engine_options,
    image_workers,
    inference_limits,
    labeled_folder,
    open_capture,
    open_shadow,
    registry_options,
)
from service.protocols.budgets import Budget, RequestLimits
from service.protocols.context import AppContext
from service.protocols.error_middleware import ERROR_ANSWERS, ErrorMiddleware
from service.protocols.fetching import Fetcher, Origin, Site
from service.protocols.hosts import ANY, AllowedHosts, HostsMiddleware, is_loopback
from service.protocols.keys import KeyFile, KeyFileError
from service.protocols.labelstudio import routes as labelstudio
from service.protocols.limits import LimitsMiddleware
from service.protocols.native import feedback, health, jobs, models, openapi, pages, segment
from service.protocols.oip import routes as oip
from service.protocols.telemetry.metrics import Metrics
from service.protocols.telemetry.request_log import RequestLogMiddleware
from service.protocols.telemetry.tracing import Tracing, TracingUnavailableError, open_tracing
from service.protocols.tfserving import routes as tfserving
from service.setting_types import version_labels
from service.settings import Settings, setting_error
from service.shadow.shadow import Shadow

TITLE = "segserve"

# What registry and engines may take to end once no request is left. An engine that is stuck never
# does.
STOP_SECONDS = 5.0

# So many batch requests find room in the queue beside each other.
BATCH_REQUESTS_BESIDE = 8

EXPOSED_HEADERS = [
    "X-Model",
    "X-Request-ID",
    "Server-Timing",
    "X-Page",
    "X-Scale",
    "X-Intensity",
    "X-Confidence",
    "X-Atypical",
    "X-Atypical-Reasons",
    "X-Tiles",
    "X-Tiles-Blended",
    "X-Captured",
    "Retry-After",
    "Location",
    "Tus-Resumable",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Expires",
    "Content-Range",
]
ALLOWED_HEADERS = [
    "Authorization",
    "Content-Type",
    "X-API-Key",
    "X-Request-ID",
    "Prefer",
    "Range",
    "If-Range",
    "Tus-Resumable",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
]

log = logging.getLogger(__name__)


class Cluster(Protocol):
    """The processes beside this one, where the models run."""

    def loader(
        self, limits: InferenceLimits, workers: ThreadPoolExecutor, observer: Observer
    ) -> InstanceLoader[Segmenter]: ...

    async def families(self) -> Iterable[Iterable[Metric]]:
        """The metrics of each process, this one among them."""
        ...


def create_app(settings: Settings, cluster: Cluster | None = None) -> FastAPI:
    """The ASGI application. Its lifespan loads the models, in the background: in this process, or
    in `cluster`.

    Raises SettingError.
    """
    for name in ("capture_folder", "shadow"):
        if cluster is not None and getattr(settings, name) is not None:
            raise setting_error(settings, name, "it is not done under --ray; leave one of them out")
    if not settings.model_store.is_dir():
        raise setting_error(settings, "model_store", "there is no such folder")
    _check_room_for_uploads(settings)
    if cluster is not None and settings.job_folder is not None:
        raise setting_error(
            settings, "job_folder", "there are no jobs on a Ray cluster; leave it out"
        )
    metrics = Metrics(cluster.families if cluster is not None else None)
    workers = ThreadPoolExecutor(image_workers(settings), thread_name_prefix="image")
    limits = inference_limits(settings)
    loader = (
        cluster.loader(limits, workers, metrics)
        if cluster is not None
        else InProcessLoader(engine_options(settings), limits, workers, metrics)
    )
    registry = Registry(settings.model_store, registry_options(settings), loader)
    capture = open_capture(settings, metrics.loop)
    shadow = open_shadow(settings, metrics.loop, capture)
    watching = [watcher for watcher in (capture, shadow) if watcher is not None]
    watcher = Watchers(watching) if watching else None
    request_limits = make_request_limits(settings)
    uploads = Budget(request_limits.max_held_upload_bytes)
    answers = Budget(request_limits.max_held_answer_bytes)
    metrics.follow(registry, uploads, answers)
    own_jobs = make_jobs(settings)
    if own_jobs is not None:
        metrics.follow_jobs(own_jobs)
    parts = AppContext(
        registry=registry,
        inference=Inference(registry, watcher),
        metrics=metrics,
        keys=_open_keys(settings),
        tracing=_open_tracing(settings),
        limits=request_limits,
        uploads=uploads,
        answers=answers,
        max_batch_request_images=settings.max_batch_request_images,
        max_batch_images_at_once=max(1, settings.max_queue_images // BATCH_REQUESTS_BESIDE),
        stuck_after_seconds=settings.stuck_after_seconds,
        fetcher=_make_fetcher(settings),
        labeled=labeled_folder(settings),
        version_labels=version_labels(settings.version_labels),
        jobs=own_jobs,
        max_image_pixels=limits.max_image_pixels,
    )
    app = FastAPI(
        title=TITLE,
        version=version("segserve"),
        docs_url=None,
        redoc_url=None,
        # ours count and trace every request already
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        generate_unique_id_function=_operation_id,
        middleware=_middleware(settings, parts),
        lifespan=lambda _app: _lifespan(parts, workers, watching),
    )
    app.state.parts = parts
    ERROR_ANSWERS.install(app)
    _add_routes(app)
    return app


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document of every server, whatever its settings."""
    app = FastAPI(
        title=TITLE,
        version=version("segserve"),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    _add_routes(app)
    return app.openapi()


def _operation_id(route: APIRoute) -> str:
    """What a generated client calls the operation: `segment`, not `segment_segment_post`."""
    return route.name


def _add_routes(app: FastAPI) -> None:
    app.router.routes += segment.PLAIN_ROUTES
    # pages first: a model's page and its JSON share an address, and the page takes browsers alone
    for router in (pages.router, pages.html_router, segment.router, feedback.router):
        app.include_router(router)
    for router in (models.router, health.router):
        app.include_router(router)
    for router in (jobs.router, jobs.open_router):
        app.include_router(router)
    for router in (oip.health, oip.router, tfserving.router, labelstudio.router):
        app.include_router(router)
    pages.mount_assets(app)
    app.openapi = cache(lambda: _describe(app))  # type: ignore[method-assign]


def _describe(app: FastAPI) -> dict[str, Any]:
    settings = Settings.model_construct()  # what the environment says is no part of it
    raised = raise_examples(
        make_request_limits(settings), inference_limits(settings), make_job_limits(settings)
    )
    return openapi.describe(app, raised, STREET)


@asynccontextmanager
async def _lifespan(
    parts: AppContext, workers: ThreadPoolExecutor, watching: Sequence[Capture | Shadow]
) -> AsyncGenerator[None]:
    await parts.registry.start()
    if parts.jobs is not None:
        await parts.jobs.start()
    for watcher in watching:
        watcher.start()
    lag = asyncio.create_task(parts.metrics.watch_loop_lag())
    try:
        yield
    finally:
        lag.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await lag
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if parts.jobs is not None:
                    await parts.jobs.stop()
                await parts.registry.stop()
                await asyncio.to_thread(workers.shutdown)
        except TimeoutError:
            log.error("an engine did not end its batch within %g s", STOP_SECONDS)
        for watcher in reversed(watching):
            await asyncio.to_thread(watcher.stop)
        if parts.tracing is not None:
            await asyncio.to_thread(parts.tracing.close)


def _middleware(settings: Settings, parts: AppContext) -> list[Middleware]:
    """From the outside in.

    A refusal by any of them is logged, counted, and readable by a page of another origin.
    """
    stack = [
        Middleware(RequestLogMiddleware, parts),
        Middleware(LimitsMiddleware, parts.limits),
        Middleware(ErrorMiddleware),
    ]
    hosts = _allowed_hosts(settings)
    if hosts is not None:
        stack.append(Middleware(HostsMiddleware, hosts))
    if settings.cors_origins:
        stack.insert(1, _cross_origin(settings.cors_origins))
    return stack


def _allowed_hosts(settings: Settings) -> AllowedHosts | None:
    """None lets every Host header in."""
    if settings.allowed_hosts:
        return (
            None
            if ANY in settings.allowed_hosts
            else AllowedHosts(settings.allowed_hosts, any_address=True)
        )
    if is_loopback(settings.host):
        return AllowedHosts([settings.host], any_address=False)
    return None


def _cross_origin(origins: tuple[str, ...]) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PATCH", "DELETE", "HEAD"],
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )


def make_request_limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        max_upload_bytes=settings.max_upload_bytes,
        max_batch_upload_bytes=settings.max_batch_upload_bytes,
        max_held_upload_bytes=settings.max_held_upload_bytes,
        max_held_answer_bytes=settings.max_held_answer_bytes,
        upload_timeout_seconds=settings.upload_timeout_seconds,
        request_timeout_seconds=settings.request_timeout_seconds,
    )


def _make_fetcher(settings: Settings) -> Fetcher | None:
    """What gets the pictures of Label Studio's tasks; None where its address is not set."""
    if settings.label_studio_url is None:
        return None
    try:
        origins = frozenset(map(Origin.of, settings.label_studio_image_hosts))
    except ValueError as error:
        raise setting_error(settings, "label_studio_image_hosts", f"{error}") from None
    site = Site(settings.label_studio_url, settings.label_studio_token_file)
    try:
        site.origin  # noqa: B018 - it says what is wrong with the address
        if site.token_file is not None:
            site.token_file.read_text()
    except ValueError as error:
        raise setting_error(settings, "label_studio_url", f"{error}") from None
    except OSError as error:
        raise setting_error(settings, "label_studio_token_file", str(error.strerror)) from None
    return Fetcher(site, origins, settings.max_upload_bytes)


def _open_keys(settings: Settings) -> KeyFile | None:
    if settings.api_keys_file is None:
        return None
    try:
        return KeyFile(settings.api_keys_file)
    except KeyFileError as error:
        raise setting_error(settings, "api_keys_file", str(error)) from None


def _open_tracing(settings: Settings) -> Tracing | None:
    if settings.otlp_traces_url is None:
        return None
    try:
        return open_tracing(settings.otlp_traces_url)
    except TracingUnavailableError as error:
        raise setting_error(settings, "otlp_traces_url", str(error)) from None


def _check_room_for_uploads(settings: Settings) -> None:
    largest = max(settings.max_upload_bytes, settings.max_batch_upload_bytes)
    if settings.max_held_upload_bytes < largest:
        raise setting_error(
            settings,
            "max_held_upload_bytes",
            f"the largest upload that is let in, {largest} bytes, would never fit",
        )
