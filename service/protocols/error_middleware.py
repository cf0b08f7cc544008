"""The one place where an error becomes an HTTP answer, whatever protocol the request speaks."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.contract.faults import first_fault
from service.domain.errors import ModelUnavailableError, ServiceError
from service.protocols.context import note_problem
from service.protocols.problems import (
    Form,
    MalformedRequestError,
    MethodNotAllowedError,
    Problem,
    RequestError,
    RouteNotFoundError,
    as_detail_json,
    as_error_json,
    as_problem_json,
    headers_of,
    problem_of,
    problem_of_status,
)

_SHUT_DOWN = ModelUnavailableError(
    "The server was shut down before the answer was ready. Send it again.", 1.0
)


class ErrorAnswers:
    """Answers errors, each in the form of the protocol that the request speaks.

    `forms` maps the first segment of a path, such as "v2", to its protocol's form; every other path
    gets problem+json.
    """

    def __init__(self, forms: Mapping[str, Form]) -> None:
        self._forms = forms

    def install(self, app: FastAPI) -> None:
        """Take the framework's own errors, and ours where they are raised, which is the short way.

        All others reach ErrorMiddleware.
        """
        for kind in (RequestValidationError, HTTPException, RequestError, ServiceError):
            app.add_exception_handler(kind, self._handle)

    def answer(self, scope: Scope, error: BaseException) -> Response:
        """The answer that tells of `error`."""
        problem, headers = _tell(scope, error)
        note_problem(scope, problem.slug)
        response = self._forms.get(_first_segment(scope), as_problem_json)(problem)
        response.headers.update(headers)
        return response

    async def _handle(self, request: Request, error: Exception) -> Response:
        return self.answer(request.scope, error)


# A row for each protocol that says errors otherwise than in problem+json.
ERROR_ANSWERS = ErrorAnswers(
    {"v1": as_error_json, "v2": as_error_json, "labelstudio": as_detail_json}
)


class ErrorMiddleware:
    """Answers every error that the app raises, so that no traceback leaves the process."""

    def __init__(self, app: ASGIApp, answers: ErrorAnswers = ERROR_ANSWERS) -> None:
        self.app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch_start)
        except (Exception, asyncio.CancelledError) as error:
            if started:
                raise
            # The server's grace is over. Whoever still waits is told so, rather than cut off.
            told = _SHUT_DOWN if isinstance(error, asyncio.CancelledError) else error
            await self._answers.answer(scope, told)(scope, receive, send)


def _first_segment(scope: Scope) -> str:
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _tell(scope: Scope, error: BaseException) -> tuple[Problem, Mapping[str, str]]:
    """The problem, and the headers that go with it."""
    if isinstance(error, RequestValidationError):
        error = MalformedRequestError(f"Parameter {first_fault(error, skip=1)}.")
    if isinstance(error, HTTPException):
        ours = _in_our_words(scope, error)
        if ours is None:
            problem = problem_of_status(error.status_code, str(error.detail))
            return problem, error.headers or {}
        error = ours
    return problem_of(error), headers_of(error)


def _in_our_words(scope: Scope, error: HTTPException) -> Exception | None:
    path = scope["path"][:200]
    if error.status_code == HTTPStatus.NOT_FOUND:
        return RouteNotFoundError(f"There is no {path} here; /docs lists the routes.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = Headers(error.headers or {}).get("allow", "")
        detail = f"{path} does not take {scope['method']}; it takes {allow}."
        return MethodNotAllowedError(detail, allow)
    return None
