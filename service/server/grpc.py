"""gRPC as one of the server's listeners."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, Final

import grpc

from service.concurrency import cancel_all
from service.protocols.context import AppContext
from service.protocols.oip.rpc import service as oip
from service.protocols.rpc.calls import Calls
from service.protocols.tfserving.rpc import service as tfserving
from service.server.sockets import ListenError

# What a call that is cancelled at the end of the grace has for saying so.
_LAST_WORD_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GrpcOptions:
    """`tls` is a certificate chain and its key, each as PEM; None serves without encryption."""

    host: str
    port: int
    tls: tuple[bytes, bytes] | None
    max_message_bytes: int
    max_calls: int
    timeout_seconds: float


class GrpcListener:
    """Serves the Open Inference Protocol, TensorFlow Serving's API and the health service."""

    def __init__(self, parts: AppContext, options: GrpcOptions) -> None:
        self._calls = Calls(parts, options.timeout_seconds)
        self._options = options
        self._server: Any = None
        self._stopping: asyncio.Task[None] | None = None
        self.port = options.port

    async def start(self) -> None:
        """Raises ListenError."""
        options = self._options
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # else two servers would share the port unnoticed
            ],
            maximum_concurrent_rpcs=options.max_calls,
        )
        for protocol in (oip, tfserving):
            server.add_generic_rpc_handlers(protocol.handlers(self._calls))
        self.port = self._bind(server)
        await server.start()
        self._server = server
        log.info("gRPC is served at %s", self._address(self.port))

    def stop_accepting(self) -> None:
        if self._server is not None:
            self._stopping = asyncio.create_task(self._server.stop(None))

    async def drain(self, deadline: float) -> None:
        if self._server is not None:
            await self._server.wait_for_termination(max(0.0, deadline - time.monotonic()))

    async def close(self) -> None:
        if self._server is not None:
            await self._server.stop(_LAST_WORD_SECONDS)
        if self._stopping is not None:
            await cancel_all([self._stopping])

    def _bind(self, server: Any) -> int:
        address = self._address(self._options.port)
        try:
            if self._options.tls is None:
                port: int = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, _credentials(*self._options.tls))
        except RuntimeError:
            port = 0
        if port == 0:
            raise ListenError(
                f"gRPC cannot listen on {address}: the port is in use by another program or not "
                "yours to open, or this machine has no such address. Choose another with "
                "--grpc-port."
            )
        return port

    def _address(self, port: int) -> str:
        host = self._options.host
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _credentials(certificate: bytes, key: bytes) -> Any:
    return grpc.ssl_server_credentials([(key, certificate)])
