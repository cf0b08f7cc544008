"""`segserve serve` in a process of its own, as the benchmarks measure it. Not a benchmark itself."""

import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass
class MeasuredServer:
    """A running server; `peak_bytes` is the highest resident memory seen while `watching_memory`."""

    url: str
    pid: int
    peak_bytes: int = field(default=0)

    def resident_bytes(self) -> int:
        """Resident memory of the process now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]

    @contextlib.contextmanager
    def watching_memory(self, every_seconds: float = 0.02) -> Iterator[None]:
        """Keep the highest resident memory while the block runs."""
        ended = threading.Event()
        self.peak_bytes = self.resident_bytes()

        def watch() -> None:
            while not ended.wait(every_seconds):
                self.peak_bytes = max(self.peak_bytes, self.resident_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


@contextlib.contextmanager
def measured_server(*flags: str) -> Iterator[MeasuredServer]:
    """Start a server on a free port and wait until it is ready; ended by SIGTERM."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "service.cli",
            "serve",
            "--port",
            "0",
            "--log-level",
            "error",
            *flags,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if " ready at " not in line:
            raise SystemExit(f"the server did not start: {line}")
        yield MeasuredServer(line.split(" ready at ")[1].split()[0], process.pid)
    finally:
        process.terminate()
        process.wait()


def post(url: str, body: bytes) -> bytes:
    """One request, its answer's body."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request) as answer:
        content: bytes = answer.read()
    return content


def write_result(name: str, result: dict[str, Any]) -> None:
    """Print the result with the machine it was got on, and keep it in benchmarks/results/."""
    cores = len(os.sched_getaffinity(0))
    machine = {"cores": cores, "cpu": _cpu(), "python": platform.python_version()}
    text = json.dumps({**result, "machine": machine, "date": time.strftime("%Y-%m-%d")}, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


def _cpu() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor()
