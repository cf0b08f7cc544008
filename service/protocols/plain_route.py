"""A route that is found first, and runs its endpoint without the framework's dependencies."""

from collections.abc import Awaitable, Callable

from starlette._utils import get_route_path
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from service.protocols.auth import check_key


class PlainRoute(BaseRoute):
    """Answers one method of one path, to callers with a key where keys are asked for.

    For what is called most. The framework's route of the same path and endpoint stays behind it:
    it describes both in the OpenAPI document, and refuses other methods.
    """

    def __init__(
        self, method: str, path: str, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> None:
        self.method, self.path, self.endpoint = method, path, endpoint

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        ours = (
            scope["type"] == "http"
            and scope["method"] == self.method
            and get_route_path(scope) == self.path
        )
        found = {"endpoint": self.endpoint, "route": self}
        return (Match.FULL, found) if ours else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        check_key(request)
        response = await self.endpoint(request)
        await response(scope, receive, send)
