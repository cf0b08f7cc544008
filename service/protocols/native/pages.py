"""The pages a browser shows: the one at /, a model's, and /docs.

They load nothing from elsewhere.
"""

import html
from os import PathLike, stat_result
from pathlib import Path

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from service.inputs import readable_suffixes
from service.maps.formats import MAP_FORMATS
from service.outputs import OUTPUTS
from service.outputs.output import Output
from service.protocols.context import AppContext, context_of
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
async def home(request: Request) -> HTMLResponse:
    """With what it offers filled in from the tables of inputs and outputs.

    Below a proxy's prefix it says so: at /vision, without a slash at the end, its addresses would
    lead beside it.
    """
    prefix = html.escape(request.scope.get("root_path", ""))
    accept = ",".join(["image/*", *sorted(readable_suffixes())])
    formats = [
        {
            "name": output.name,
            "title": output.title,
            "description": output.description,
            "ending": _ending(output),
        }
        for output in OUTPUTS.values()
        if output.project is None  # those of annotation tools are of folders
    ]
    limits = orjson.dumps(_limits(context_of(request))).decode()
    table = orjson.dumps(formats).decode().replace("<", "\\u003c")
    base = f'<base href="{prefix}/">\n    ' if prefix else ""
    return _filled("index.html", base=base, accept=accept, formats=table, limits=limits)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs_page(request: Request) -> HTMLResponse:
    return _filled("docs/index.html", keys="no" if context_of(request).keys is None else "yes")


@html_router.api_route("/models/{name}", methods=["GET", "HEAD"])
async def model_page(request: Request, name: str) -> FileResponse:
    """The page asks for the model's JSON itself, with the caller's key where one is wanted."""
    parts = context_of(request)
    is_known = any(state.name == name for state in parts.registry.states())
    # A server with keys tells strangers nothing of what it has.
    response = _page("model.html", 200 if is_known or parts.keys is not None else 404)
    response.headers["Vary"] = "Accept"
    return response


def _limits(parts: AppContext) -> dict[str, object]:
    """What the page sends as a job, where the server does jobs."""
    return {
        "maxUploadBytes": parts.limits.max_upload_bytes,
        "maxPixels": parts.max_image_pixels,
        "maxJobBytes": None if parts.jobs is None else parts.jobs.limits.max_job_bytes,
        "mapFormats": [name for name in MAP_FORMATS if name != "confidence"],
    }


def mount_assets(app: FastAPI) -> None:
    app.mount("/docs/assets", _Assets(directory=WEB / "docs"))
    app.mount("/assets", _Assets(directory=WEB / "assets"))
    app.mount("/examples", _Assets(directory=WEB / "examples"))


def _ending(output: Output) -> str:
    """How the names of downloads end: not as a picture's, which a download would overwrite."""
    extension = output.extension(output.options())
    if extension == f".{output.name}" and extension not in readable_suffixes():
        return extension
    kind = "mask" if extension == f".{output.name}" else output.name
    return f".{kind}{extension}"


def _filled(name: str, **words: str) -> HTMLResponse:
    """The page with each {{word}} put in its place."""
    page = (WEB / name).read_text(encoding="utf-8")
    for word, text in words.items():
        page = page.replace(f"{{{{{word}}}}}", text)
    return HTMLResponse(page, headers=HEADERS)


def _page(name: str, status: int = 200) -> FileResponse:
    return FileResponse(WEB / name, status, headers=HEADERS)
