"""By which names callers may call this server.

A web page can point a name of its own at any address, loopback too, and its browser then takes the
server there for the page's own. The Host header still says that name, so it is looked at.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from service.protocols.problems import HostNotAllowedError, MalformedRequestError
from service.settings import variable

ANY = "*"

# RFC 3986, section 3.2.2: a name or an IPv4 address, or an IPv6 address in brackets; then a port.
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::[0-9]{0,5})?")
_SHOWN_LENGTH = 100

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AllowedHosts:
    """Loopback's names and addresses, and `names`; `*.example.org` is every name below that one.

    `any_address` lets every other address in, too: no page can point one elsewhere, and health
    checks and scrapers call by address.
    """

    def __init__(self, names: Iterable[str], *, any_address: bool) -> None:
        self._names = {_plain(name) for name in names}
        self._any_address = any_address
        self.allow = lru_cache(maxsize=256)(self._allow)  # it is the same few again and again

    def check(self, headers: Sequence[bytes], http_version: str) -> None:
        """Raises HostNotAllowedError and MalformedRequestError.

        `headers` are all values of Host.
        """
        if len(headers) > 1:
            raise MalformedRequestError("The request has several Host headers; send one.")
        if not headers:
            if http_version == "1.0":  # which has none; health checks speak it, and no browser does
                return
            raise MalformedRequestError("The request has no Host header; HTTP/1.1 asks for one.")
        if not self.allow(headers[0]):
            raise HostNotAllowedError(
                f"This server does not go by the host {host_of(headers[0])[:_SHOWN_LENGTH]!r}. "
                "Call it by localhost or by its address, or have its operator add the host to "
                f"{variable('allowed_hosts')}."
            )

    def _allow(self, header: bytes) -> bool:
        """Whether a Host header may have this value. Raises MalformedRequestError."""
        host = host_of(header)
        if host in self._names:
            return True
        address = _address_of(host)
        if address is not None:
            return self._any_address or address.is_loopback
        labels = host.split(".")
        return labels[-1] == "localhost" or any(
            f"*.{'.'.join(labels[place:])}" in self._names for place in range(1, len(labels))
        )


class HostsMiddleware:
    """Refuses requests whose Host header is not allowed."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts) -> None:
        self.app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            values = [value for name, value in scope["headers"] if name == b"host"]
            self._hosts.check(values, scope["http_version"])
        await self.app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host`, a name or an address, is reached from here alone."""
    try:
        *_, found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except OSError:
        return False
    address = _address_of(str(found[0]).partition("%")[0])
    return address is not None and address.is_loopback


def host_of(header: bytes) -> str:
    """The name or address in a Host header, as hosts are compared. Raises MalformedRequestError."""
    match = _HOST.fullmatch(header)
    if match is None:
        shown = header[:_SHOWN_LENGTH].decode("latin-1")
        raise MalformedRequestError(
            f"The Host header is {shown!r}; it takes a name or an address, and a port."
        )
    return _plain(match[1].decode())


def _plain(host: str) -> str:
    """In small letters, without a dot at the end and without brackets."""
    return host.lower().removesuffix(".").removeprefix("[").removesuffix("]")


def _address_of(host: str) -> Address | None:
    try:
        address: Address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))  # 127.1 and other short forms
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
