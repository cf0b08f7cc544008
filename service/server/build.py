"""From settings to a server: which listeners there are, and how each of them is set."""

import socket
from collections.abc import Callable

from fastapi import FastAPI

from service.server.http import HttpListener, HttpOptions
from service.server.lifecycle import EndOptions, Server
from service.settings import Settings


def build_server(
    app: FastAPI, settings: Settings, bound: socket.socket, on_settled: Callable[[], None]
) -> Server:
    """A server of `app` that speaks HTTP at `bound`; `on_settled` is as `Server` says."""
    http = HttpListener(
        app,
        bound,
        HttpOptions(
            root_path=settings.root_path,
            keep_alive_seconds=settings.keep_alive_seconds,
            header_timeout_seconds=settings.header_timeout_seconds,
            answer_timeout_seconds=settings.answer_timeout_seconds,
        ),
    )
    options = EndOptions(
        delay_seconds=settings.shutdown_delay_seconds,
        grace_seconds=settings.shutdown_grace_seconds,
    )
    return Server(app, [http], options, on_settled)
