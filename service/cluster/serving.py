"""The service on Ray Serve: HTTP replicas that decode and encode, engine replicas that own models.

Two applications, so that HTTP replicas can finish what they accepted before the engines go.
"""

import contextlib
import json
import logging
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from http.client import HTTPException
from types import FrameType
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from fastapi import FastAPI
from prometheus_client.core import Metric
from ray import serve
from ray.serve.config import BackpressureConfig
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from service.app import create_app
from service.cluster.connection import connected
from service.cluster.engines import EngineReplica, RemoteModels, gather_families
from service.cluster.errors import ClusterError
from service.cluster.options import ServeLayout
from service.cluster.proxy import CALLBACK, CALLBACK_VARIABLE, RETRY_SECONDS
from service.inference.limits import InferenceLimits
from service.inference.observer import Observer
from service.protocols.context import AppContext
from service.protocols.telemetry.logging import configure_logging
from service.server.sockets import listen
from service.setting_flags import read_settings
from service.settings import Settings

HTTP_APP = "segserve"
ENGINES_APP = "segserve-engines"
ENGINES = "engines"
HTTP = "http"

# Requests that a replica takes beyond those that its own admission would: to refuse them itself,
# and for /health.
_SPARE_REQUESTS = 64

_POLL_SECONDS = 0.2

# What a proxy may take to listen once there are replicas.
PROXY_SECONDS = 60.0

# The service's own log has a line a request.
_QUIET = {"enable_access_log": False, "log_level": "WARNING"}

log = logging.getLogger(__name__)


class _Neighbours:
    """The cluster as one HTTP replica's app sees it."""

    def __init__(self, models_per_engine: int) -> None:
        engines = serve.get_deployment_handle(ENGINES, ENGINES_APP)
        self._replicas = serve.get_deployment_handle(HTTP, HTTP_APP), engines
        self._engines, self._models_per_engine = engines, models_per_engine

    def loader(
        self, limits: InferenceLimits, workers: ThreadPoolExecutor, observer: Observer
    ) -> RemoteModels:
        return RemoteModels(self._engines, self._models_per_engine, limits, workers, observer)

    async def families(self) -> Iterable[Iterable[Metric]]:
        return await gather_families(*self._replicas)


class HttpReplica:
    """A process with the whole app but the engines."""

    def __init__(self, settings: Settings, models_per_engine: int) -> None:
        configure_logging(settings.log_format, settings.log_level)
        self._settings = settings
        self._models_per_engine = models_per_engine
        self._parts: AppContext | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = create_app(self._settings, _Neighbours(self._models_per_engine))
        self._parts = app.state.parts
        _serve_when_settled(app)
        return app

    def families(self) -> list[Metric]:
        return self._parts.metrics.families() if self._parts is not None else []

    def begin_draining(self) -> None:
        """Be no longer ready, and serve on."""
        if self._parts is not None:
            self._parts.registry.begin_draining()


def _serve_when_settled(app: FastAPI) -> None:
    """Let no request come to a new replica before it knows its models."""
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def settled(app: FastAPI) -> AsyncGenerator[Any]:
        async with lifespan(app) as state:
            await app.state.parts.registry.wait_until_settled()
            yield state

    app.router.lifespan_context = settled


def build_engines(layout: ServeLayout) -> serve.Application:
    """The engine replicas, for a config file; the settings are those of the environment."""
    return engines_application(read_settings([]), layout)


def build_http(layout: ServeLayout) -> serve.Application:
    """The HTTP replicas, for a config file; the settings are those of the environment."""
    return http_application(read_settings([]), layout)


def engines_application(
    settings: Settings, layout: ServeLayout, replica: type[EngineReplica] = EngineReplica
) -> serve.Application:
    deployment = serve.deployment(
        replica,
        name=ENGINES,
        ray_actor_options={"num_cpus": layout.engine_cpus, "num_gpus": layout.engine_gpus},
        # As many as an HTTP replica may accept: what is accepted anywhere can be finished, so
        # nothing is refused here.
        max_ongoing_requests=max(settings.max_queue_images, 2 * layout.images_per_engine),
        autoscaling_config=_autoscaling(
            layout,
            layout.min_engine_replicas,
            layout.max_engine_replicas,
            layout.images_per_engine,
        ),
        graceful_shutdown_timeout_s=settings.shutdown_grace_seconds,
        graceful_shutdown_wait_loop_s=0.5,
        logging_config=_QUIET,
    )
    return deployment.bind(settings, layout.models_per_engine)


def http_application(settings: Settings, layout: ServeLayout) -> serve.Application:
    deployment = serve.deployment(
        serve.ingress()(HttpReplica),
        name=HTTP,
        ray_actor_options={"num_cpus": layout.http_cpus},
        max_ongoing_requests=settings.max_queue_images + _SPARE_REQUESTS,
        max_queued_requests=settings.max_queue_images + _SPARE_REQUESTS,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=RETRY_SECONDS),
        autoscaling_config=_autoscaling(
            layout, layout.min_http_replicas, layout.max_http_replicas, layout.images_per_http
        ),
        graceful_shutdown_timeout_s=settings.shutdown_grace_seconds,
        graceful_shutdown_wait_loop_s=0.5,
        logging_config=_QUIET,
    )
    return deployment.bind(settings, layout.models_per_engine)


def _autoscaling(layout: ServeLayout, least: int, most: int, requests: int) -> dict[str, Any]:
    """Replicas by what waits at them or runs, on average over Ray's last 30 s."""
    return {
        "min_replicas": least,
        "max_replicas": max(least, most),
        "target_ongoing_requests": requests,
        "upscale_delay_s": layout.upscale_delay_seconds,
        "downscale_delay_s": layout.downscale_delay_seconds,
    }


def serve_on_cluster(
    settings: Settings, layout: ServeLayout, address: str | None, tell: Callable[[str], None]
) -> None:
    """Run the service on the cluster at `address` until SIGTERM or Ctrl+C, then take it away.

    `tell` gets a sentence once it is ready, or one that says why it is not. Raises ClusterError and
    SettingError.
    """
    create_app(settings)  # what is wrong with the settings is told here, not in a replica's log
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    settings = settings.model_copy(update={"model_store": settings.model_store.resolve()})
    with connected(address, {CALLBACK_VARIABLE: CALLBACK}), _until_signal() as stopped:
        url = deploy(settings, layout)
        tell(_greeting(url))
        take_away(settings.shutdown_delay_seconds if stopped() == signal.SIGTERM else 0.0)


def deploy(settings: Settings, layout: ServeLayout) -> str:
    """Start the service, and give its address once the replicas know their models."""
    with closing(listen(settings.host, settings.port)) as bound:
        port = bound.getsockname()[1]
    serve.start(
        proxy_location="EveryNode" if layout.http_on_every_node else "HeadOnly",
        http_options={
            "host": settings.host,
            "port": port,
            "root_path": settings.root_path,
            "keep_alive_timeout_s": settings.keep_alive_seconds,
        },
        logging_config=_QUIET,
    )
    try:
        serve.run(engines_application(settings, layout), name=ENGINES_APP, route_prefix=None)
        serve.run(http_application(settings, layout), name=HTTP_APP, route_prefix="/")
    except RuntimeError as error:
        raise ClusterError(
            f"Ray Serve could not start the service: {str(error).splitlines()[0]} "
            "Its log and those of the replicas are in Ray's log folders."
        ) from None
    return f"http://{'127.0.0.1' if settings.host == '0.0.0.0' else settings.host}:{port}"


def take_away(delay_seconds: float) -> None:
    """Be not ready for `delay_seconds`, let the HTTP replicas finish, then the engines."""
    http: DeploymentHandle = serve.get_deployment_handle(HTTP, HTTP_APP)
    with contextlib.suppress(RayServeException, TimeoutError):
        http.broadcast("begin_draining").results(timeout_s=5.0, return_exceptions=True)
    time.sleep(delay_seconds)
    serve.delete(HTTP_APP)
    serve.delete(ENGINES_APP)
    serve.shutdown()


def _greeting(url: str) -> str:
    give_up = time.monotonic() + PROXY_SECONDS
    while time.monotonic() < give_up:
        # ValueError: an answer that is not the service's, from a proxy that does not know it yet
        with contextlib.suppress(OSError, HTTPException, ValueError):
            status, answer = _get(f"{url}/health/ready")
            if status != 200:
                return str(answer["detail"])
            status, listed = _get(f"{url}/models")
            names = (
                ", ".join(f"{m['name']}/{m['version']}" for m in listed["models"])
                if status == 200
                else "its models"
            )
            return f"segserve is ready at {url} with {names}; {url}/docs shows how to use it."
        time.sleep(_POLL_SECONDS)
    raise ClusterError(
        f"nothing answers at {url}. If Ray Serve ran in this cluster before, its proxies listen "
        "where they did: say that address with --host and --port, or end it with `serve shutdown`."
    )


def _get(url: str) -> tuple[int, Any]:
    """The status and the JSON that the service answers. Raises OSError and HTTPException."""
    direct = build_opener(ProxyHandler({}))
    try:
        with direct.open(url, timeout=PROXY_SECONDS) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


@contextmanager
def _until_signal() -> Iterator[Callable[[], int]]:
    """A function that waits for SIGTERM or SIGINT, and gives which it was."""
    came: list[int] = []
    woken = threading.Event()

    def note(sig: int, _frame: FrameType | None) -> None:
        came.append(sig)
        woken.set()

    def wait() -> int:
        while not woken.wait(_POLL_SECONDS):
            pass
        return came[0]

    before = {sig: signal.signal(sig, note) for sig in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wait
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
