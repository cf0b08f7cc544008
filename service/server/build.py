"""From settings to a server: which listeners there are, and how each of them is set."""

import socket
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI

from service.protocols.context import AppContext
from service.server.http import HttpListener, HttpOptions
from service.server.lifecycle import EndOptions, Server
from service.server.listener import Listener
from service.settings import SettingError, Settings, flag, variable

# Calls that are taken beyond those that the queue has room for: to refuse them with a sentence, and
# for health.
SPARE_CALLS = 64


def build_server(
    app: FastAPI, settings: Settings, bound: socket.socket, on_settled: Callable[[], None]
) -> Server:
    """A server of `app` that speaks HTTP at `bound`; `on_settled` is as `Server` says."""
    parts: AppContext = app.state.parts

    def is_pressed() -> bool:
        within = settings.answer_timeout_seconds
        return parts.uploads.refused_within(within) or parts.answers.refused_within(within)

    http = HttpListener(
        app,
        bound,
        HttpOptions(
            root_path=settings.root_path,
            keep_alive_seconds=settings.keep_alive_seconds,
            header_timeout_seconds=settings.header_timeout_seconds,
            answer_timeout_seconds=settings.answer_timeout_seconds,
        ),
        is_pressed,
        lambda: parts.metrics.rejected("slow-reader"),
    )
    options = EndOptions(
        delay_seconds=settings.shutdown_delay_seconds,
        grace_seconds=settings.shutdown_grace_seconds,
    )
    listeners: list[Listener] = [http]
    if settings.grpc_port is not None:
        listeners.append(_grpc_listener(app.state.parts, settings))
    return Server(app, listeners, options, on_settled)


def _grpc_listener(parts: AppContext, settings: Settings) -> Listener:
    """Raises SettingError."""
    assert settings.grpc_port is not None
    try:
        from service.server.grpc import GrpcListener, GrpcOptions
    except ImportError:
        raise SettingError(
            f"{variable('grpc_port')} (flag {flag('grpc_port')}) is set, and gRPC is not "
            "installed; install segserve[grpc]"
        ) from None
    return GrpcListener(
        parts,
        GrpcOptions(
            host=settings.host,
            port=settings.grpc_port,
            tls=_tls_files(settings),
            max_message_bytes=settings.max_batch_upload_bytes,
            max_calls=settings.max_queue_images + SPARE_CALLS,
            timeout_seconds=settings.request_timeout_seconds,
        ),
    )


def _tls_files(settings: Settings) -> tuple[bytes, bytes] | None:
    """The certificate chain and its key. Raises SettingError."""
    fields = ("grpc_tls_certificate_file", "grpc_tls_key_file")
    given = {field: getattr(settings, field) for field in fields}
    absent = [field for field, path in given.items() if path is None]
    if len(absent) == len(fields):
        return None
    if absent:
        raise SettingError(
            f"{variable(absent[0])} (flag {flag(absent[0])}) is not set, and TLS needs both the "
            "certificate and its key"
        )
    certificate, key = (_read(field, path) for field, path in given.items())
    return certificate, key


def _read(field: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingError(
            f"{variable(field)} (flag {flag(field)}) is {str(path)!r}: it cannot be read "
            f"({error.strerror})"
        ) from None
