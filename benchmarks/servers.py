"""The servers that are compared, each in processes of its own: started, waited for, paused,
stopped. Not a benchmark itself."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.load import TIMEOUT_SECONDS, Reply, fetch, get_request, request_of
from models.contract import read_contract

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = Path(__file__).parent / ".venvs"
STREET = ROOT / "models" / "zoo" / "street" / "1"
TENSOR_HEADER = "Inference-Header-Content-Length"
ELEMENT_LENGTH_BYTES = 4
READY_SECONDS = 180.0
STOP_SECONDS = 20.0


class NotStartedError(SystemExit):
    """A server ended, or never answered."""


@dataclass(frozen=True)
class Candidate:
    """What is started, and how it wants an image. `command` is completed by the environment's PORT.

    `health` is a path that answers 200 once all models are loaded, where there is one. `tensor`
    says that the picture comes back as the one element of a tensor, behind its JSON.
    """

    name: str
    command: tuple[str, ...]
    path: str = "/segment"
    part: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    health: str | None = None
    tensor: bool = False

    def request(self, image: bytes) -> bytes:
        headers = {TENSOR_HEADER: "0"} if self.tensor else None
        return request_of(image, self.path, self.part, headers)

    def picture(self, reply: Reply) -> bytes:
        """The PNG in an answer."""
        if not self.tensor:
            return reply.body
        return reply.body[int(reply.headers[TENSOR_HEADER.lower()]) + ELEMENT_LENGTH_BYTES :]


@dataclass
class Running:
    """A started server. Paused, none of its processes takes time from those measured."""

    candidate: Candidate
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    ready_seconds: float = 0.0

    def processes(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def resident_bytes(self) -> int:
        """Resident memory of all its processes, added up."""
        return self._sum(lambda process: process.memory_info().rss)

    def proportional_bytes(self) -> int:
        """The same, with what processes share counted once (Linux' proportional set size). Takes
        far longer to read."""
        return self._sum(lambda process: process.memory_full_info().pss)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def fetch(self, image: bytes, patience: float = TIMEOUT_SECONDS) -> Reply:
        return fetch(self.port, self.candidate.request(image), patience)

    def engine(self) -> str:
        """What runs our first model, as GET /models tells it: "tensorflow fp32"."""
        models = json.loads(fetch(self.port, get_request("/models")).body)["models"]
        facts = models[0]["engine"]
        return f"{facts['name']} {facts['precision']}"

    @contextlib.contextmanager
    def watching_memory(self, every_seconds: float = 0.05) -> Iterator[list[int]]:
        """Resident bytes while the block runs, in the list that is given; the server must not be
        paused."""
        ended, seen = threading.Event(), [self.resident_bytes()]

        def watch() -> None:
            while not ended.wait(every_seconds):
                seen.append(self.resident_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield seen
        finally:
            ended.set()
            watcher.join()

    def _sum(self, measure: Callable[[psutil.Process], int]) -> int:
        total = 0
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                total += measure(process)
        return total

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)


@contextlib.contextmanager
def running(candidate: Candidate, image: bytes) -> Iterator[Running]:
    """Start the server on a free port and wait until it answers `image`; ended by SIGTERM, by force
    where that does not do."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        port, log = free_port(), Path(folder) / "log"
        began = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(
                candidate.command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=_environment(candidate, port, Path(folder)),
                start_new_session=True,
            )
        server = Running(candidate, port, process, log)
        try:
            _wait_until_it_answers(server, image)
            server.ready_seconds = time.perf_counter() - began
            yield server
        finally:
            _stop(server)


def segserve(name: str, *flags: str, store: Path | None = None) -> Candidate:
    """Our server; `flags` as on its command line. Asked for pixels as they are, which is all that
    the others do."""
    command = [sys.executable, "-m", "service.cli", "serve", "--log-level", "error", *flags]
    if store is not None:
        command += ["--model-store", str(store)]
    environment = {"PYTHONPATH": str(ROOT), "SEGSERVE_SHUTDOWN_DELAY_SECONDS": "0"}
    path = "/segment?scale=native"
    return Candidate(name, tuple(command), path, environment=environment, health="/health/ready")


def engines() -> dict[str, tuple[str, ...]]:
    """The flags for each engine to measure that the bundled model has files for; `default` is what
    the server takes by itself."""
    found: dict[str, tuple[str, ...]] = {"default": (), "tensorflow": ("--engine", "tensorflow")}
    if "assets.extra/openvino/fp32.xml" in read_contract(STREET).files:
        found["openvino fp32"] = ("--engine", "openvino", "--precision", "fp32")
    return found


def peer(name: str, settings: Mapping[str, str], model: Path = STREET) -> Candidate:
    """Another server with some setting of its variables, in its own environment, made here where it
    is missing."""
    folder = name.removesuffix(INT8)
    _install(folder)
    python = ENVIRONMENTS / folder / "bin" / "python"
    script, path, part = _PEERS[folder]
    command: tuple[str, ...] = (str(python), str(PEERS / folder / script))
    if script == "service.py":
        here = ("--working-dir", str(PEERS / folder), "--host", "127.0.0.1")
        command = (str(python.with_name("bentoml")), "serve", "service:Street", *here)
    variables = {"MODEL": str(model), "PYTHONPATH": str(PEERS / "shared"), **settings}
    if name.endswith(INT8):
        variables["ENGINE"] = "openvino"
    return Candidate(name, command, path, part, variables, tensor=folder == "triton")


# A peer of this ending runs the OpenVINO int8 file of the artefact, the others its SavedModel.
INT8 = " int8"

# folder → script, path, multipart part
_PEERS: dict[str, tuple[str, str, str | None]] = {
    "fastapi_plain": ("server.py", "/segment", None),
    "litserve": ("server.py", "/predict", "image"),
    "bentoml": ("service.py", "/segment", "image"),
    "mlserver": ("server.py", "/segment", None),
    "ray_serve": ("server.py", "/segment", None),
    "triton": ("server.py", "/v2/models/street/infer", None),
}


def _install(name: str) -> None:
    """Make the peer's environment from its pinned requirements, once, and again where those
    change."""
    folder = ENVIRONMENTS / name
    requirements = PEERS / name / "requirements.txt"
    stamp = folder / "installed.txt"
    if stamp.exists() and stamp.read_bytes() == requirements.read_bytes():
        return
    uv = [sys.executable, "-m", "uv", "--quiet"]
    python = str(folder / "bin" / "python")
    # Triton's Python backend is built for the system's Python, which others do well with too
    base = shutil.which("python3.11", path="/usr/bin") or sys.executable
    subprocess.run([*uv, "venv", "--clear", "--python", base, str(folder)], check=True)
    subprocess.run(
        [*uv, "pip", "sync", "--require-hashes", "--python", python, str(requirements)], check=True
    )
    stamp.write_bytes(requirements.read_bytes())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# The last would make Python compile every module at each start, as no installation does.
_NOT_THEIRS = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


def _environment(candidate: Candidate, port: int, folder: Path) -> dict[str, str]:
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SEGSERVE_") and name not in _NOT_THEIRS
    }
    ports = {"PORT": str(port), "SEGSERVE_PORT": str(port), "BENTOML_PORT": str(port)}
    quiet = {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0", "GRPC_PORT": "0"}
    return {**own, **ports, **quiet, "HOME": str(folder), **candidate.environment}


def _wait_until_it_answers(server: Running, image: bytes) -> None:
    give_up = time.perf_counter() + READY_SECONDS
    # A request taken before the model is loaded may never be answered: it is not waited for long.
    while not _is_ready(server) or server.fetch(image, patience=5.0).status != 200:
        if server.process.poll() is not None or time.perf_counter() > give_up:
            tail = server.log.read_text(errors="replace")[-3000:]
            raise NotStartedError(f"{server.candidate.name} did not start:\n{tail}")
        time.sleep(0.05)


def _is_ready(server: Running) -> bool:
    health = server.candidate.health
    return health is None or fetch(server.port, get_request(health), 5.0).status == 200


def _stop(server: Running) -> None:
    """SIGTERM, and SIGKILL to what is left of its own processes after a while, or has outlived
    their parent."""
    server.resume()
    left = server.processes()
    server.process.terminate()
    _, left = psutil.wait_procs(left, STOP_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.process.pid, signal.SIGKILL)  # the group that it was started as
    server.process.wait()
