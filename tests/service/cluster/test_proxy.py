"""What a proxy says itself, without the cluster around it."""

import asyncio

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from service.cluster import proxy
from service.cluster.proxy import PIECE_BYTES, ProxyAnswers, SlowReaderError

BODY = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"


def scope_of(path: str) -> Scope:
    return {"type": "http", "path": path, "headers": []}


async def receive() -> Message:
    raise AssertionError


async def ask(app: ProxyAnswers, path: str = "/segment") -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope_of(path), receive, send)
    return sent


async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": BODY, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def test_a_large_answer_goes_on_in_pieces_and_stays_whole() -> None:
    start, *pieces = asyncio.run(ask(ProxyAnswers(large)))
    assert start["status"] == 200
    assert b"".join(piece["body"] for piece in pieces) == BODY
    assert max(len(piece["body"]) for piece in pieces) == PIECE_BYTES
    assert [piece["more_body"] for piece in pieces] == [True] * 4 + [False]


def test_a_client_that_takes_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(proxy, "ANSWER_SECONDS", 0.05)
    taken = []

    async def send(message: Message) -> None:
        taken.append(message)
        if len(taken) > 2:
            await asyncio.Event().wait()

    with pytest.raises(SlowReaderError):
        asyncio.run(ProxyAnswers(large)(scope_of("/segment"), receive, send))
    assert "took nothing of its answer" in caplog.text


async def lost(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": b"Internal Server Error"})


@pytest.mark.parametrize(
    ("path", "member"), [("/segment", "detail"), ("/v2/models/street/infer", "error")]
)
def test_a_lost_replica_is_told_in_the_form_of_the_protocol(path: str, member: str) -> None:
    start, body = asyncio.run(ask(ProxyAnswers(lost), path))
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert "was lost" in orjson.loads(body["body"])[member]
