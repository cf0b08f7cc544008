"""GET /health/live, GET /health/ready and GET /metrics: what orchestrators and Prometheus ask."""

from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel

from service.catalogue.slot import LOADING_RETRY_SECONDS
from service.domain.errors import ModelUnavailableError
from service.protocols.auth import require_key
from service.protocols.context import context_of
from service.protocols.native import openapi

router = APIRouter(tags=["operation"])


class Live(BaseModel):
    status: Literal["live"] = "live"


class Ready(BaseModel):
    status: Literal["ready"] = "ready"


@router.get(
    "/health/live", summary="Should the process be left running?", responses=openapi.LIVE_RESPONSES
)
async def live(request: Request) -> Live:
    """Fails only when a batch, a load beyond its time, or the disk of jobs has gone on for too
    long: a restart helps then, and never before.
    """
    parts = context_of(request)
    refuse_if_stuck(parts.registry.stuck_seconds(), parts.stuck_after_seconds)
    if parts.jobs is not None:
        refuse_if_jobs_are_stuck(parts.jobs.stuck_seconds, parts.stuck_after_seconds)
    return Live()


@router.get(
    "/health/ready", summary="Should requests be sent here?", responses=openapi.READY_RESPONSES
)
async def ready(request: Request) -> Ready:
    """Fails while the models are loaded and warmed, and once the server is told to end."""
    refuse_if_not_ready(context_of(request).registry.not_ready_reasons())
    return Ready()


def refuse_if_stuck(stuck_seconds: float, limit_seconds: float) -> None:
    """Raises ModelUnavailableError."""
    if stuck_seconds > limit_seconds:
        raise ModelUnavailableError(
            f"A batch of an engine, or the load of a model, has hung for {stuck_seconds:.0f} s; "
            f"the limit is {limit_seconds:g} s. Restart the server.",
            LOADING_RETRY_SECONDS,
        )


def refuse_if_jobs_are_stuck(stuck_seconds: float, limit_seconds: float) -> None:
    """Raises ModelUnavailableError."""
    if stuck_seconds > limit_seconds:
        raise ModelUnavailableError(
            f"The disk of jobs, or their process, has hung for {stuck_seconds:.0f} s; the limit is "
            f"{limit_seconds:g} s. Look at the disk, then restart the server.",
            LOADING_RETRY_SECONDS,
        )


def refuse_if_not_ready(reasons: Sequence[str]) -> None:
    """Raises ModelUnavailableError."""
    if reasons:
        raise ModelUnavailableError(" ".join(reasons), LOADING_RETRY_SECONDS)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses=openapi.METRICS_RESPONSES,
    dependencies=[Depends(require_key)],
)
async def metrics(request: Request) -> Response:
    """In Prometheus' text format, or OpenMetrics where the scraper asks for it."""
    accept = request.headers.get("accept", "")
    body, media_type = await context_of(request).metrics.exposition(accept)
    return Response(body, media_type=media_type)
