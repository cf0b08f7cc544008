"""Who may call: those with a key, where the server has a file of keys."""

from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.protocols.context import context_of, request_context
from service.protocols.keys import KeyFile
from service.protocols.problems import UnauthorizedError

_bearer = HTTPBearer(auto_error=False, description="An API key, where the server asks for one.")
_header = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    description="The same key, for clients that keep Authorization for a proxy.",
)


async def require_key(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> None:
    """Let the request pass, or raise UnauthorizedError. Runs before the body is read."""
    authorization = None if bearer is None else f"{bearer.scheme} {bearer.credentials}"
    caller = name_of_caller(context_of(request).keys, authorization, header)
    request_context(request.scope).caller = caller


def check_key(request: Request) -> None:
    """As `require_key`, for routes that the framework reads no headers for."""
    headers = request.headers
    caller = name_of_caller(
        context_of(request).keys, headers.get("authorization"), headers.get("x-api-key")
    )
    request_context(request.scope).caller = caller


def name_of_caller(
    keys: KeyFile | None, authorization: str | None, api_key: str | None
) -> str | None:
    """Whose key came with a request, in one header or the other; None where no key is asked for.

    Raises UnauthorizedError.
    """
    if keys is None:
        return None
    scheme, _, credentials = (authorization or "").partition(" ")
    key = api_key or (credentials.strip() if scheme.lower() == "bearer" else "")
    if not key:
        raise UnauthorizedError(
            "This server asks for an API key: send it as `Authorization: Bearer <key>` "
            "or `X-API-Key: <key>`."
        )
    name = keys.name_of(key)
    if name is None:
        raise UnauthorizedError(
            "The API key is not one of this server's, or was revoked. Ask its operator for one."
        )
    return name
