"""The pages a browser shows: the one at /, a model's, and /docs. They load nothing from elsewhere."""

from os import PathLike, stat_result
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from service.protocols.context import context_of
from service.protocols.native.negotiation import preferred

WEB = Path(__file__).parents[2] / "web"

HEADERS = {
    "Cache-Control": "no-cache"
}  # asked again each time, so that a new release shows at once


class _HtmlRoute(APIRoute):
    """Matches only callers that want HTML more than JSON: browsers, and no API client."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        accept = ", ".join(Headers(scope=scope).getlist("accept"))
        if preferred(accept, ["application/json", "text/html"]) != "text/html":
            return Match.NONE, {}
        return super().matches(scope)


class _Assets(StaticFiles):
    """Files that browsers ask for again each time, as they do for the pages."""

    def file_response(
        self,
        full_path: PathLike[str] | str,
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response


router = APIRouter(include_in_schema=False)
html_router = APIRouter(include_in_schema=False, route_class=_HtmlRoute)


@router.api_route("/", methods=["GET", "HEAD"])
async def home() -> FileResponse:
    return _page("index.html")


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs_page() -> FileResponse:
    return _page("docs/index.html")


@html_router.api_route("/models/{name}", methods=["GET", "HEAD"])
async def model_page(request: Request, name: str) -> FileResponse:
    """The page asks for the model's JSON itself, with the caller's key where the server wants one."""
    parts = context_of(request)
    is_known = any(state.name == name for state in parts.registry.states())
    # A server with keys tells strangers nothing of what it has.
    response = _page("model.html", 200 if is_known or parts.keys is not None else 404)
    response.headers["Vary"] = "Accept"
    return response


def mount_assets(app: FastAPI) -> None:
    app.mount("/docs/assets", _Assets(directory=WEB / "docs"))
    app.mount("/assets", _Assets(directory=WEB / "assets"))
    app.mount("/examples", _Assets(directory=WEB / "examples"))


def _page(name: str, status: int = 200) -> FileResponse:
    return FileResponse(WEB / name, status, headers=HEADERS)
