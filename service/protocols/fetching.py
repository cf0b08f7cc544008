"""Files that a caller names by a URL, from the hosts that the operator allows and no other.

A URL comes from a stranger, who would have this server ask others in its place: addresses of the
cloud's metadata, of neighbours, of itself. So each hop's host and port must be one of a list,
redirects included; a token goes to its own host alone; what comes has a largest size and a time.
"""

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from service.domain.errors import ServiceError

_PORTS: Final = {"http": 80, "https": 443}
_MAX_HOPS: Final = 4
_CHUNK: Final = 2**16
_ANSWER_SECONDS: Final = 10.0  # in which a host has to say something
_TOKEN_SECONDS: Final = 120.0  # an access token of Label Studio's is good for five minutes
_MAX_TOKEN_ANSWER_BYTES: Final = 2**16
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class FetchError(ServiceError):
    """A file could not be fetched. The text says which, and why."""


@dataclass(frozen=True)
class Origin:
    """A scheme, host and port: `http://label-studio:8080`."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Raises ValueError where it is no http or https URL of a host."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("it is not an http:// or https:// URL with a host")
        if parts.username is not None:
            raise ValueError("it has a user name")
        return cls(parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme])

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{port}"


@dataclass(frozen=True)
class Site:
    """A server that files are fetched from, and the file of the token it asks for."""

    url: str
    token_file: Path | None = None

    @property
    def origin(self) -> Origin:
        return Origin.of(self.url)


@dataclass
class Fetcher:
    """Fetches from `site`, with its token, and from the other `origins` without. Used on the event
    loop."""

    site: Site
    origins: frozenset[Origin]
    max_bytes: int
    _access: tuple[float, str] | None = field(default=None, repr=False)  # until when, token

    async def fetch(self, url: str, deadline: float) -> bytes:
        """The file at `url`. `deadline` in seconds of time.monotonic(). Raises FetchError."""
        for _ in range(_MAX_HOPS):
            origin = self._allowed(url)
            headers = {}
            if origin == self.site.origin:
                headers = await self._authorization(deadline)
            answer = await _exchange(_Request("GET", url, headers), self.max_bytes, deadline)
            if answer.status in _REDIRECTS and answer.location:
                url = urljoin(url, answer.location)
                continue
            if answer.status != 200:
                raise FetchError(f"{_shown(url)} was answered with status {answer.status}.")
            return answer.body
        raise FetchError(f"{_shown(url)} is at the end of more than {_MAX_HOPS} redirects.")

    def _allowed(self, url: str) -> Origin:
        try:
            origin = Origin.of(url)
        except ValueError as error:
            raise FetchError(f"{_shown(url)} is not fetched: {error}.") from None
        if origin != self.site.origin and origin not in self.origins:
            raise FetchError(
                f"{_shown(url)} is not fetched: {origin} is not allowed. Its operator can add it "
                "to SEGSERVE_LABEL_STUDIO_IMAGE_HOSTS."
            )
        return origin

    async def _authorization(self, deadline: float) -> dict[str, str]:
        """The header for the site. A token in three parts is one that others are made from."""
        if self.site.token_file is None:
            return {}
        try:
            token = self.site.token_file.read_text().strip()
        except OSError as error:
            raise FetchError(
                f"The token of {self.site.origin} cannot be read: {error.strerror}."
            ) from None
        if token.count(".") != 2:
            return {"Authorization": f"Token {token}"}
        if self._access is None or self._access[0] < time.monotonic():
            until = time.monotonic() + _TOKEN_SECONDS
            self._access = until, await self._refreshed(token, deadline)
        return {"Authorization": f"Bearer {self._access[1]}"}

    async def _refreshed(self, token: str, deadline: float) -> str:
        url = self.site.url.rstrip("/") + "/api/token/refresh/"
        body = json.dumps({"refresh": token}).encode()
        request = _Request("POST", url, {"Content-Type": "application/json"}, body)
        answer = await _exchange(request, _MAX_TOKEN_ANSWER_BYTES, deadline)
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if answer.status == 200:
                return str(json.loads(answer.body)["access"])
        raise FetchError(
            f"{self.site.origin} does not take the token (status {answer.status}); make a new one "
            "there."
        )


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True)
class _Answer:
    status: int
    location: str | None
    body: bytes


async def _exchange(request: _Request, max_bytes: int, deadline: float) -> _Answer:
    """One request and its answer, on a thread that ends with it. Raises FetchError."""
    call = _Call(request, max_bytes, deadline)
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            return await asyncio.to_thread(call.run)
    except TimeoutError:
        raise FetchError(f"{_shown(request.url)} was not answered in time.") from None
    finally:
        call.abort()


class _Call:
    """One exchange, which `abort` ends from another thread."""

    def __init__(self, request: _Request, max_bytes: int, deadline: float) -> None:
        self._request = request
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._connection: http.client.HTTPConnection | None = None

    def abort(self) -> None:
        """Cut the connection, so that a thread that waits for it goes on."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> _Answer:
        """Raises FetchError."""
        parts = urlsplit(self._request.url)
        shown = _shown(self._request.url)
        try:
            self._connection = _connection(parts, self._seconds_left())
            try:
                return self._asked(self._connection, parts, shown)
            finally:
                self._connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = str(error) or type(error).__name__
            raise FetchError(f"{shown} cannot be fetched: {why}.") from None

    def _asked(
        self, connection: http.client.HTTPConnection, parts: SplitResult, shown: str
    ) -> _Answer:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = self._request
        connection.request(request.method, _quoted(path), request.body, dict(request.headers))
        response = connection.getresponse()
        if int(response.headers.get("Content-Length") or 0) > self._max_bytes:
            raise self._too_large(shown)
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large(shown)
            self._seconds_left()
        return _Answer(response.status, response.headers.get("Location"), bytes(body))

    def _too_large(self, shown: str) -> FetchError:
        return FetchError(f"{shown} has more bytes than the limit of {self._max_bytes}.")

    def _seconds_left(self) -> float:
        """For which the next answer is waited for. Raises TimeoutError."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        return min(left, _ANSWER_SECONDS)


def _connection(parts: SplitResult, seconds: float) -> http.client.HTTPConnection:
    assert parts.hostname is not None  # an allowed origin has one
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=seconds, context=context)


def _quoted(path: str) -> str:
    """What people write into a URL and HTTP does not take."""
    return "".join(
        char if 0x20 < ord(char) < 0x7F else "".join(f"%{byte:02X}" for byte in char.encode())
        for char in path
    )


def _shown(url: str) -> str:
    """A URL without its query, which may be signed, and cut short: it comes from a stranger."""
    bare = url.partition("?")[0]
    return bare if len(bare) <= 200 else bare[:200] + "…"
