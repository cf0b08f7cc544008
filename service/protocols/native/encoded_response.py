"""An answer on its way out."""

from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.outputs.output import Encoded


class EncodedResponse(Response):
    """Sends an answer piece by piece, so that it is not held a second time as one body."""

    def __init__(self, encoded: Encoded, headers: Mapping[str, str]) -> None:
        length = {"Content-Length": str(encoded.size)}
        super().__init__(headers={**headers, **length}, media_type=encoded.media_type)
        self._chunks = encoded.chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        for place, chunk in enumerate(self._chunks, start=1):
            is_last = place == len(self._chunks)
            await send({"type": "http.response.body", "body": chunk, "more_body": not is_last})
