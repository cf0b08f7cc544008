"""OpenTelemetry traces, a span a request and a span a stage.

Nothing of it is imported unless it is switched on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from service.inference.inference import Timings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

NANOSECONDS = 1_000_000_000


class TracingUnavailableError(Exception):
    """Traces are asked for and the otel extra is not installed."""


class Tracing:
    """Spans of one app. The provider is its own, so that two apps in a process do not share it."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("segserve")
        self._propagator = TraceContextTextMapPropagator()

    def begin_request(
        self, method: str, path: str, headers: Mapping[str, str], request_id: str
    ) -> Span:
        """Open the request's span, below the caller's where it sent a `traceparent`."""
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(
            method,
            context=self._propagator.extract(headers),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "url.path": path,
                "segserve.request_id": request_id,
            },
        )

    def end_request(self, span: Span, method: str, route: str, status: int) -> None:
        from opentelemetry.trace import Status, StatusCode

        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def add_stages(self, span: Span, model_id: str, timings: Timings) -> None:
        """Add a span a stage below `span`.

        The stages follow each other, and the last one ends now.
        """
        from opentelemetry.trace import set_span_in_context

        context = set_span_in_context(span)
        end = time.time_ns()
        for stage, seconds in reversed(list(stages_of(timings))):
            start = end - round(seconds * NANOSECONDS)
            child = self._tracer.start_span(
                stage, context=context, start_time=start, attributes={"segserve.model": model_id}
            )
            child.end(end)
            end = start

    def close(self) -> None:
        """Send what is not sent yet."""
        self._provider.shutdown()


def stages_of(timings: Timings) -> Iterator[tuple[str, float]]:
    """The stages in the order an image takes them, with their seconds."""
    yield "decode", timings.decode_seconds
    yield "queue", timings.queue_seconds
    yield "infer", timings.infer_seconds
    yield "encode", timings.encode_seconds


def server_timing(timings: Timings, arrived: float) -> str:
    """The value of a Server-Timing header. `arrived` is in seconds of time.monotonic()."""
    stages = [f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in stages_of(timings)]
    return ", ".join([*stages, f"total;dur={(time.monotonic() - arrived) * 1000:.1f}"])


def open_tracing(url: str) -> Tracing:
    """Trace to the OTLP/HTTP address `url`.

    Raises TracingUnavailableError without the otel extra.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailableError(
            "traces need the otel extra, which is not installed; install segserve[otel]"
        ) from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": "segserve"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    return Tracing(provider)
