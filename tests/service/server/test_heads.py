"""The head of an answer goes along with its body, and never gets lost or late."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from service.server.slow_readers import CountingTransport

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/ is how this body begins"


class Recorder:
    """A transport that keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.calls.append(tuple(parts))

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _name: str) -> None:
        return None


async def at_once(transport: CountingTransport) -> None:
    transport.write(HEAD)
    transport.write(BODY)


async def body_later(transport: CountingTransport) -> None:
    transport.write(HEAD)
    assert transport.get_write_buffer_size() == len(HEAD)
    await asyncio.sleep(0)
    transport.write(BODY[5:])


async def closed(transport: CountingTransport) -> None:
    transport.write(HEAD)
    transport.close()


async def two_answers(transport: CountingTransport) -> None:
    await at_once(transport)
    await at_once(transport)


async def cut_off(transport: CountingTransport) -> None:
    transport.write(HEAD)
    transport.reset()


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (at_once, [(HEAD, BODY)]),
        (body_later, [HEAD, BODY[5:]]),
        (closed, [HEAD, "close"]),
        (two_answers, [(HEAD, BODY), (HEAD, BODY)]),
        (cut_off, ["abort"]),
    ],
)
def test_what_is_written(
    use: Callable[[CountingTransport], Awaitable[None]], expected: list[Any]
) -> None:
    async def run() -> list[Any]:
        recorder = Recorder()
        await use(CountingTransport(cast(asyncio.Transport, recorder), asyncio.get_running_loop()))
        await asyncio.sleep(0)
        return recorder.calls

    assert asyncio.run(run()) == expected
