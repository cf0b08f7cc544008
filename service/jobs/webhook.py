"""Whoever asked for it is told that a job has ended: signed, to the servers that the operator
allows, again until it is taken, but not for ever.

As https://www.standardwebhooks.com has it. A redirect is not followed: it would lead elsewhere.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import orjson

from service.concurrency import cancel_all
from service.domain.errors import InvalidOptionError
from service.jobs.job import Job
from service.threads import on_own_thread

_PORTS: Final = {"http": 80, "https": 443}
_MAX_URL_LENGTH: Final = 2000
_LEAST_SECRET_BYTES: Final = 24

# Seconds from one try to the next, as the specification proposes.
RETRY_SECONDS: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0)
_TRY_SECONDS: Final = 20.0
_AT_ONCE: Final = 4

log = logging.getLogger(__name__)


class WebhookSecretError(ValueError):
    """What is to sign is no secret. The text says why."""


def parse_secret(text: str) -> bytes:
    """`whsec_` and base64 of 24 bytes or more. Raises WebhookSecretError."""
    try:
        secret = base64.b64decode(text.strip().removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise WebhookSecretError("it does not hold whsec_ and base64") from None
    if len(secret) < _LEAST_SECRET_BYTES:
        raise WebhookSecretError(
            f"its secret has {len(secret)} bytes; make one of {_LEAST_SECRET_BYTES} or more"
        )
    return secret


def origin_of(url: str) -> str:
    """`https://app.example.org:443` of a URL. Raises ValueError where it is no such URL."""
    if not (url.isascii() and url.isprintable()) or " " in url:  # which no request can ask for
        raise ValueError("it has characters that a URL writes as %20 and the like")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("it is not an http:// or https:// URL of a host")
    return f"{parts.scheme}://{parts.hostname.lower()}:{parts.port or _PORTS[parts.scheme]}"


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header webhook-signature."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


@dataclass
class Webhooks:
    """Used on the event loop only.

    `origins` are those of `origin_of` that may be told, and `told` is called with each job that
    nobody need be told of any more. `prefix` is what a proxy puts before this server's paths.
    """

    origins: frozenset[str]
    secret: bytes
    prefix: str = ""
    retry_seconds: Sequence[float] = RETRY_SECONDS
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    def check(self, url: str) -> None:
        """Raises InvalidOptionError for a URL that may not be told."""
        check_webhook(url, self.origins)

    def tell(self, job: Job, told: Callable[[Job], Any]) -> None:
        """Begin to tell the server that the job names."""
        task = asyncio.create_task(self._tell(job, told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Who is not told yet is told after the next start."""
        await cancel_all(self._tasks)

    async def _tell(self, job: Job, told: Callable[[Job], Any]) -> None:
        url = job.wish.webhook
        assert url is not None
        for pause in (*self.retry_seconds, None):
            how = await self._try(job, url)
            if how is None or pause is None:
                break
            await asyncio.sleep(pause)
        if how is not None:
            log.warning("the webhook of job %s was given up: %s", job.id, how)
        await told(job)

    async def _try(self, job: Job, url: str) -> str | None:
        """What was wrong, if anything was."""
        if origin_of(url) not in self.origins:
            return "its server is not allowed any more"
        body = self._body(job)
        message_id, timestamp = f"msg_{job.id}", int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "segserve",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self.secret, message_id, timestamp, body),
        }
        async with self._at_once:
            try:
                async with asyncio.timeout(2 * _TRY_SECONDS):
                    status = await on_own_thread(lambda: _post(url, headers, body), "webhook")
            except (OSError, http.client.HTTPException, TimeoutError, ValueError) as error:
                return str(error) or type(error).__name__
        return None if 200 <= status < 300 else f"status {status}"

    def _body(self, job: Job) -> bytes:
        url = f"{self.prefix}/jobs/{job.id}"
        data: dict[str, Any] = {"id": job.id, "url": url, "state": job.state}
        if job.result is not None:
            data["result"] = {"url": f"{url}/result", "bytes": job.result.main.bytes}
        if job.problem is not None:
            data["problem"] = job.problem
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(job.since))
        return orjson.dumps({"type": f"job.{job.state}", "timestamp": stamp, "data": data})


def check_webhook(url: str, origins: frozenset[str]) -> None:
    """Raises InvalidOptionError for a URL of a server that is not among `origins`."""
    shown = url.partition("?")[0][:200]
    if len(url) > _MAX_URL_LENGTH:
        raise InvalidOptionError(
            f"Parameter webhook has {len(url)} characters; the limit is {_MAX_URL_LENGTH}."
        )
    try:
        origin = origin_of(url)
    except ValueError as error:
        raise InvalidOptionError(f"Parameter webhook is {shown!r}: {error}.") from None
    if origin not in origins:
        raise InvalidOptionError(
            f"Parameter webhook is {shown!r}, and this server tells nothing to {origin}. Leave it "
            "out, or have the operator add it to SEGSERVE_JOB_WEBHOOK_ORIGINS."
        )


def _post(url: str, headers: dict[str, str], body: bytes) -> int:
    """The status of the answer. Raises OSError and HTTPException."""
    parts = urlsplit(url)
    connection = _connection(parts)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        with contextlib.suppress(OSError):
            connection.close()


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    assert parts.hostname is not None  # an allowed origin has one
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TRY_SECONDS)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(
        parts.hostname, parts.port, timeout=_TRY_SECONDS, context=context
    )
