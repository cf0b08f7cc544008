"""An answer on its way out."""

from collections import deque
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.outputs.output import Encoded
from service.protocols.context import request_context


class EncodedResponse(Response):
    """Sends an answer piece by piece, and lets go of each piece that the client has taken."""

    def __init__(self, encoded: Encoded, headers: Mapping[str, str]) -> None:
        length = {"Content-Length": str(encoded.size)}
        super().__init__(headers={**headers, **length}, media_type=encoded.media_type)
        self._size = encoded.size
        self._chunks = deque(encoded.chunks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        share = request_context(scope).answer
        share.take(self._size)
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        while self._chunks:
            chunk = self._chunks.popleft()
            share.give_back(len(chunk))  # whoever sends it counts it from here on
            await send(
                {"type": "http.response.body", "body": chunk, "more_body": bool(self._chunks)}
            )
