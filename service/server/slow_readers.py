"""How fast a client takes its answers, so that one who takes nothing holds no memory for good."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Any


class CountingTransport:
    """A transport that counts what is written to it, and sends the head of an answer along with the
    body that follows at once: one call of the system, and one packet, in place of two.

    All else is the transport's own.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written = 0
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._written += len(data)
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif data[:5] == b"HTTP/":
            self._head = bytes(data)
            self._loop.call_soon(self._send_head)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._send_head()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        return len(self._head) + self._transport.get_write_buffer_size()

    def _send_head(self) -> None:
        if self._head and not self.is_closing():
            head, self._head = self._head, b""
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def taken_bytes(self) -> int:
        """What has arrived at the client's machine of all that was written."""
        return self._written - self.get_write_buffer_size() - self._bytes_in_kernel()

    def reset(self) -> None:
        """Close without sending what waits; the system, too, lets go of what it holds."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _bytes_in_kernel(self) -> int:
        """Sent or not, and not acknowledged; 0 where the system does not tell.

        Up to several megabytes, so that a slow client would seem to stand still for minutes if only
        the transport's own buffer were looked at.
        """
        connection = self._transport.get_extra_info("socket")
        try:
            answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
        except (AttributeError, OSError, ValueError):
            return 0
        return int.from_bytes(answer, sys.byteorder)


class ReaderWatch:
    """Looks at one connection again and again. A window begins where an answer has to wait."""

    def __init__(self, transport: CountingTransport) -> None:
        self._transport = transport
        self._since: float | None = None
        self._taken_before = 0

    def is_stalled(self, now: float, window_seconds: float, least_bytes: int) -> bool:
        """Whether the client took less than `least_bytes` in the window that ends now."""
        if self._transport.get_write_buffer_size() == 0:
            self._since = None
            return False
        if self._since is not None and now - self._since < window_seconds:
            return False
        taken = self._transport.taken_bytes
        if self._since is not None and taken - self._taken_before < least_bytes:
            return True
        self._since, self._taken_before = now, taken
        return False
