"""Servers for tests: in a thread, or in a process of their own.

Real sockets and a real uvicorn in both.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from service.app import create_app
from service.protocols.context import AppContext
from service.server.build import build_server
from service.server.sockets import listen
from service.settings import Settings

TIMEOUT_SECONDS = 300.0


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(file, "PNG")
    return file.getvalue()


def picture(height: int, width: int, seed: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    """Noise (height, width, channels): every pixel's class differs from its neighbours'."""
    return np.random.default_rng(seed).integers(0, 250, (height, width, channels), np.uint8)


def class_map_of(response: httpx.Response) -> NDArray[np.uint8]:
    """The class map (H, W) in an indexed PNG."""
    assert response.status_code == 200, response.text
    return np.array(Image.open(io.BytesIO(response.content)))


def wait_until(
    condition: Callable[[], bool], what: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> None:
    """Wait for what must come about; how long it takes is not what is tested."""
    give_up = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < give_up, f"waited in vain: {what}"
        time.sleep(0.01)


class ServerThread:
    """A server in a thread, with its parts within reach."""

    def __init__(self, settings: Settings) -> None:
        self.app: FastAPI = create_app(settings)
        self.parts: AppContext = self.app.state.parts
        self.socket = listen("127.0.0.1", 0)
        self.port: int = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.settled = threading.Event()
        self.server = build_server(self.app, settings, self.socket, self.settled.set)
        self.thread = threading.Thread(target=self.server.run, name=f"server-{self.port}")
        self.client = httpx.Client(base_url=self.url, timeout=TIMEOUT_SECONDS)

    def start(self) -> None:
        self.thread.start()
        assert self.server.started.wait(TIMEOUT_SECONDS)

    def stop(self) -> None:
        self.client.close()
        self.server.end()
        self.thread.join()

    def segment(self, image: NDArray[np.uint8], **query: Any) -> httpx.Response:
        return self.client.post("/segment", params=query, files={"image": png_bytes(image)})

    def metric(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """One sample, as Prometheus would read it; 0 where there is none."""
        wanted = {f'{key}="{value}"' for key, value in (labels or {}).items()}
        for line in self.client.get("/metrics").text.splitlines():
            sample, _, value = line.rpartition(" ")
            found, _, inside = sample.partition("{")
            if found == name and wanted <= set(inside.rstrip("}").split(",")):
                return float(value)
        return 0.0


@contextlib.contextmanager
def serving(store: Path, *, wait: bool = True, **settings: Any) -> Iterator[ServerThread]:
    """A server in a thread over `store`, once its models are loaded."""
    defaults = {"model_store": store, "shutdown_delay_seconds": 0.0, "threads": 2}
    server = ServerThread(Settings(**{**defaults, **settings}))
    server.start()
    try:
        if wait:
            assert server.settled.wait(TIMEOUT_SECONDS)
        yield server
    finally:
        server.stop()


class ServerProcess:
    """`segserve serve` in a process of its own, on a free port."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SEGSERVE_")
        }
        self._log = log.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
        )
        self.log = log

    def wait_until_ready(self) -> str:
        """Read the line that tells it is ready, and give the address in it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "ready at http://" in line, line + self.log.read_text()
        self.url = line.split(" ready at ")[1].split()[0]
        return self.url

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_seconds: float = TIMEOUT_SECONDS) -> int:
        return self.process.wait(timeout_seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.terminate()
            self.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()
