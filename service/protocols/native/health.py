"""GET /health/live, GET /health/ready and GET /metrics: what orchestrators and Prometheus ask."""

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
    """Fails only when a batch, or a load beyond its time, has gone on for too long: a restart
    helps then, and never before.
    """
    parts = context_of(request)
    if not parts.is_live:
        raise ModelUnavailableError(
            "A batch of an engine, or the load of a model, has hung for "
            f"{parts.registry.stuck_seconds():.0f} s; the limit is "
            f"{parts.stuck_after_seconds:g} s. Restart the server.",
            LOADING_RETRY_SECONDS,
        )
    return Live()


@router.get(
    "/health/ready", summary="Should requests be sent here?", responses=openapi.READY_RESPONSES
)
async def ready(request: Request) -> Ready:
    """Fails while the models are loaded and warmed, and from the moment the server is told to end."""
    not_ready_reasons = context_of(request).registry.not_ready_reasons()
    if not_ready_reasons:
        raise ModelUnavailableError(" ".join(not_ready_reasons), LOADING_RETRY_SECONDS)
    return Ready()


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
