"""Log lines that carry the request's id: JSON for machines, text on a terminal."""

import logging
import logging.config
import sys
import time
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from service.protocols.telemetry.request_id import current_request_id

TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(message)s [%(request_id)s]"
JSON_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s"
JSON_NAMES = {"asctime": "time", "levelname": "level", "name": "logger"}


class RequestIdFilter(logging.Filter):
    """Puts the id of the request at hand on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id()
        return True


def make_formatter(style: Literal["json", "text"]) -> logging.Formatter:
    if style == "json":
        formatter: logging.Formatter = JsonFormatter(JSON_FORMAT, rename_fields=JSON_NAMES)
    else:
        formatter = logging.Formatter(TEXT_FORMAT)
    formatter.converter = time.gmtime
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.default_msec_format = "%s.%03dZ"
    return formatter


def configure_logging(style: Literal["auto", "json", "text"], level: str) -> None:
    """Send the whole process's log to standard error.

    For a process that is a server: it takes the root logger.
    """
    if style == "auto":
        style = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler()
    handler.setFormatter(make_formatter(style))
    handler.addFilter(RequestIdFilter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    # Our own lines say the same with the request's id, or in words for an operator.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    logging.captureWarnings(True)
