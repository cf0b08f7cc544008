"""Traces, as a collector receives them."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from service.protocols.telemetry.tracing import TracingUnavailableError, open_tracing
from tests.service.serving import picture, png_bytes, serving

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"


class Collector(HTTPServer):
    """The receiving end of OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.spans: list[Span] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"


class _Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        self.server.spans += [
            span
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_request_is_a_span_with_a_span_a_stage(store: Path, collector: Collector) -> None:
    with serving(store, models=("solvable",), otlp_traces_url=collector.url) as server:
        server.client.post(
            "/segment",
            files={"image": png_bytes(picture(8, 8))},
            headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01", "X-Request-ID": "traced"},
        )
    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {"POST /segment", "decode", "queue", "infer", "encode"}
    request = spans.pop("POST /segment")
    assert request.trace_id.hex() == TRACE_ID
    assert request.parent_span_id.hex() == PARENT_ID
    attributes = {a.key: a.value for a in request.attributes}
    assert attributes["segserve.request_id"].string_value == "traced"
    assert attributes["http.response.status_code"].int_value == 200
    for before, after in [("decode", "queue"), ("queue", "infer"), ("infer", "encode")]:
        assert spans[before].end_time_unix_nano == spans[after].start_time_unix_nano
    for stage in spans.values():
        assert stage.parent_span_id == request.span_id


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracingUnavailableError, match=r"segserve\[otel\]"):
        open_tracing("http://127.0.0.1:4318/v1/traces")
