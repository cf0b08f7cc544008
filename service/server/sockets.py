"""Addresses to listen on."""

import errno
import socket

from models.contract.errors import UserError


class ListenError(UserError):
    """The address cannot be listened on. The text says why, and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one. Raises ListenError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise ListenError(
            f"Cannot bind to {host}: not an address of this machine. "
            "Use 127.0.0.1, or 0.0.0.0 for all."
        ) from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ListenError(_why_not(host, port, error)) from None
    return bound


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is in use by another program; "
            "choose one with --port, or end that program."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} is open to the superuser alone; choose one above 1023 with --port."
    return f"Port {port} of {host} cannot be listened on: {error.strerror}."
