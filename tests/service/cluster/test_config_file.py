"""The service by Ray's own commands, as docs/scale.md shows them, on a Ray that they begin."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.docs.test_readme import shell_lines
from tests.service.cluster.nodes import LONG_SECONDS, ROOT, SCALE, wait_long
from tests.service.serving import class_map_of, picture, png_bytes
from tests.solvable import solve

pytest.importorskip("ray.serve", reason="Ray is not installed; requirements/dev.txt has it")
pytestmark = pytest.mark.cluster

CONFIG = "deploy/ray/segserve.yaml"
LINES = [line.split("  #")[0] for line in shell_lines(SCALE)]
(EXPORT,) = [line for line in LINES if line.startswith("export ")]


@pytest.fixture
def environment(tmp_path: Path, solvable_store: Path) -> Iterator[dict[str, str]]:
    """Of a reader of the docs whose home has no token of Ray's yet."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets in it have short names
    yield os.environ | {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_TMPDIR": folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "SEGSERVE_MODEL_STORE": str(solvable_store),
        "SEGSERVE_DEFAULT_MODEL": "solvable",
        **dict(pair.split("=", 1) for pair in EXPORT.split()[1:]),
    }
    shutil.rmtree(folder, ignore_errors=True)


def config_on_a_free_port(folder: Path) -> tuple[Path, str]:
    """The file of the docs on another port; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text, changes = re.subn(
        r"port: 8000$", f"port: {port}", (ROOT / CONFIG).read_text(), flags=re.MULTILINE
    )
    assert changes == 1
    config = folder / "segserve.yaml"
    config.write_text(text)
    return config, f"http://127.0.0.1:{port}"


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=LONG_SECONDS).status_code == 200
    except httpx.TransportError:
        return False


def check_answers(url: str) -> None:
    image = picture(30, 41)
    wait_long(lambda: ready(url), "the service")
    with httpx.Client(base_url=url, timeout=LONG_SECONDS) as client:
        answer = client.post("/segment", files={"image": png_bytes(image)})
        assert (class_map_of(answer) == solve(image)).all()
        # the proxies speak as the service does
        assert len(answer.headers.get_list("x-request-id")) == 1
        models = client.get("/models").json()["models"]
        assert {(model["name"], model["state"]) for model in models} == {
            ("solvable", "ready"),
            ("gray", "ready"),
        }
        assert "segserve_requests_total" in client.get("/metrics").text


def test_ray_s_own_commands_run_leave_and_end_the_service(
    environment: dict[str, str], tmp_path: Path
) -> None:
    config, url = config_on_a_free_port(tmp_path)
    log = tmp_path / "log"

    def command(start: str) -> list[str]:
        (line,) = [line for line in LINES if line.startswith(start)]
        return line.replace(CONFIG, str(config)).split()

    def say(start: str) -> str:
        done = subprocess.run(
            command(start), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    say("ray get-auth-token")
    with log.open("wb") as file:
        run = subprocess.Popen(
            command("serve run"), cwd=ROOT, env=environment, stdout=file, stderr=file
        )
    try:
        check_answers(url)
        dashboard = re.search(r"dashboard at \S*?(http://[\d.]+:\d+)", log.read_text())
        assert dashboard, log.read_text()
        environment["RAY_DASHBOARD_ADDRESS"] = dashboard[1]
        assert say("serve status").count("status: RUNNING") == 2
        say("serve shutdown")
        wait_long(lambda: not ready(url), "the end of the service")
        say("serve deploy")
        check_answers(url)
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(LONG_SECONDS)
    wait_long(lambda: not ready(url), "the end of Ray")
