"""The result of a job on its way out: a file, whole or in parts."""

from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from service.protocols.problems import RangeNotSatisfiableError


class _NoRangeError(Exception):
    """The header Range is not of a form that RFC 9110 knows, and is to be passed over."""


class ResultResponse(FileResponse):
    """As FileResponse, which says If-Range and several parts too; refusals are the app's own.

    Raises RangeNotSatisfiableError.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_checked(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 416:
                    raise RangeNotSatisfiableError(int(self.headers["content-length"]))
                if message["status"] == 400:
                    raise _NoRangeError
            await send(message)

        try:
            await super().__call__(scope, receive, send_checked)
        except _NoRangeError:
            whole = {**scope, "headers": list(scope["headers"])}
            headers = MutableHeaders(scope=whole)
            del headers["range"]
            await super().__call__(whole, receive, send)
