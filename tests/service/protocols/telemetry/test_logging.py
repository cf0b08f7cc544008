"""Log lines, as a machine and as a person read them."""

import json
import logging
from collections.abc import Iterator

import pytest

from service.protocols.telemetry.logging import RequestIdFilter, make_formatter
from service.protocols.telemetry.request_id import begin_request, current_request_id
from tests.service.serving import ServerThread, picture, wait_until


def record(message: str) -> logging.LogRecord:
    made = logging.LogRecord("segserve.test", logging.INFO, __file__, 1, message, (), None)
    RequestIdFilter().filter(made)
    return made


def test_json_lines_carry_the_request_id() -> None:
    begin_request("order-66")
    line = json.loads(make_formatter("json").format(record("done")))
    assert line["request_id"] == "order-66"
    assert line["message"] == "done"
    assert (line["level"], line["logger"]) == ("INFO", "segserve.test")
    assert line["time"].startswith("20")


def test_text_lines_carry_it_too() -> None:
    begin_request("order-67")
    assert make_formatter("text").format(record("done")).endswith("INFO    done [order-67]")


def lines_of(caplog: pytest.LogCaptureFixture, request_id: str) -> list[logging.LogRecord]:
    """The access lines of one request, once there are any: the answer is sent before."""

    def found() -> list[logging.LogRecord]:
        access = [r for r in caplog.records if r.name == "segserve.access"]
        return [r for r in access if getattr(r, "tag", "") == request_id]

    wait_until(lambda: bool(found()), "a line in the log")
    return found()


@pytest.fixture
def tagged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log at level debug, each record tagged with its request's id."""

    def tag(record: logging.LogRecord) -> bool:
        record.tag = current_request_id()
        return True

    caplog.handler.addFilter(tag)
    with caplog.at_level(logging.DEBUG, "segserve.access"):
        yield caplog
    caplog.handler.removeFilter(tag)


def test_a_request_leaves_one_line_that_answers_why_it_was_slow(
    server: ServerThread, tagged: pytest.LogCaptureFixture
) -> None:
    response = server.segment(picture(8, 8))
    (line,) = lines_of(tagged, response.headers["X-Request-ID"])
    facts = vars(line)
    assert (facts["status"], facts["method"], facts["model"]) == (200, "POST", "solvable/1")
    assert facts["server_timing"] == response.headers["Server-Timing"]
    assert line.levelno == logging.INFO


def test_probes_do_not_bury_the_rest(
    server: ServerThread, tagged: pytest.LogCaptureFixture
) -> None:
    response = server.client.get("/health/ready")
    (line,) = lines_of(tagged, response.headers["X-Request-ID"])
    assert line.levelno == logging.DEBUG


def test_a_line_cannot_be_forged_by_a_path(
    server: ServerThread, tagged: pytest.LogCaptureFixture
) -> None:
    response = server.client.get("/a%0Ab")
    (line,) = lines_of(tagged, response.headers["X-Request-ID"])
    assert line.getMessage().startswith("GET /a%0Ab 404 ")
