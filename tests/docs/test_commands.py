"""Every command of the README and docs/ is run: here, by a test beside this one, or by a script of
the project."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest

from tests.docs.test_readme import PAGES, README, ROOT, shell_lines
from tests.service.serving import TIMEOUT_SECONDS, wait_until

CHECK_CONTAINERS = "deploy/check-containers"

# Lines that need an engine for containers, or that run this very test: the file that runs them, and
# its words for it.
RUN_BY_A_SCRIPT = {
    "make test": (".ci/run", "make test"),
    "python docs/examples/clients/": ("tests/clients/run.py", '"docs" / "examples" / "clients"'),
    "docker compose up": (CHECK_CONTAINERS, "compose up --detach segserve"),
    "docker compose up gpu": (CHECK_CONTAINERS, 'build gpu" build gpu gpu'),
    "docker compose --profile monitoring up": (
        CHECK_CONTAINERS,
        "compose --profile monitoring up --detach",
    ),
    "docker compose cp": (CHECK_CONTAINERS, "docker cp"),
    "docker compose run --rm train train": (CHECK_CONTAINERS, "run --rm -T train train"),
    "docker compose run --rm train evaluate": (CHECK_CONTAINERS, "run --rm -T train evaluate"),
    "docker compose run --rm train export": (CHECK_CONTAINERS, "run --rm -T train export"),
    "docker build --target cpu": (CHECK_CONTAINERS, 'build cpu" build cpu segserve'),
    "docker build --target ray": (CHECK_CONTAINERS, "docker build --target ray"),
    "docker run --rm --shm-size": (CHECK_CONTAINERS, '--shm-size 1g --publish "127.0.0.1:'),
    "docker run --rm -p": (CHECK_CONTAINERS, "docker run --detach --name"),
    "docker run --rm -v": (CHECK_CONTAINERS, "predict /photos -o /photos/masks"),
}


def all_lines() -> list[str]:
    pages = [README, *(page.read_text() for page in PAGES)]
    return [line.split("  #")[0].strip() for page in pages for line in shell_lines(page)]


def is_run(line: str) -> bool:
    if any(line.startswith(words) for words in RUN_BY_A_SCRIPT):
        return True
    # make and kubectl below; curl, segserve and segtrain lines by test_readme, those with --ray and
    # Ray's own by tests/service/cluster; the script is itself a command
    own = (
        "make serve",
        "make ray",
        "kubectl apply -k ",
        "export RAY_",
        "ray get-auth-token ",
        "serve ",
        "segserve ",
        "segtrain ",
        CHECK_CONTAINERS,
    )
    return line.startswith(own) or "curl " in line


def test_every_command_of_the_docs_is_run_by_something() -> None:
    assert len(all_lines()) > 30
    assert [line for line in all_lines() if not is_run(line)] == []


@pytest.mark.parametrize("line", RUN_BY_A_SCRIPT)
def test_the_script_that_is_to_run_a_command_does(line: str) -> None:
    script, words = RUN_BY_A_SCRIPT[line]
    assert any(found.startswith(line) for found in all_lines()), f"{line} is in no page any more"
    assert words in (ROOT / script).read_text()


@pytest.mark.skipif(
    not (ROOT / ".venv" / ".serve").exists(), reason="make has installed nothing here"
)
def test_make_serve_answers_a_photograph() -> None:
    """As a stranger does it, Ctrl-C at the end included."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    serving = subprocess.Popen(
        ["make", "serve", f"PORT={port}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a terminal of its own: Ctrl-C reaches all that runs in it
        text=True,
    )
    photograph = (ROOT / "service" / "web" / "examples" / "avenue.jpg").read_bytes()
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        assert serving.poll() is None, serving.communicate()[0]
        try:
            return httpx.get(f"{url}/health/ready", timeout=TIMEOUT_SECONDS).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(is_ready, "make serve")
        answer = httpx.post(f"{url}/segment", files={"image": photograph}, timeout=TIMEOUT_SECONDS)
        assert answer.headers["Content-Type"] == "image/png"
    finally:
        os.killpg(serving.pid, signal.SIGINT)
        shown, _ = serving.communicate(timeout=TIMEOUT_SECONDS)
    assert "Traceback" not in shown


@pytest.mark.skipif(not (ROOT / ".venv" / ".ray").exists(), reason="make has installed no Ray here")
def test_make_ray_leaves_an_environment_with_ray() -> None:
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    subprocess.run(["make", "ray"], cwd=ROOT, env=environment, check=True, capture_output=True)
    subprocess.run([ROOT / ".venv/bin/python", "-c", "import ray.serve, ray.data"], check=True)


KUBECTL = [line for line in all_lines() if line.startswith("kubectl ")]


def test_the_docs_show_kubectl() -> None:
    assert len(KUBECTL) >= 3


@pytest.mark.parametrize("line", KUBECTL)
def test_each_kubectl_line_names_manifests_that_a_cluster_would_take(
    line: str, tmp_path: Path
) -> None:
    """`kubectl` here renders the folder as kustomize does and validates it, for there is no cluster
    to apply it to."""
    stand_in = tmp_path / "kubectl"
    stand_in.write_text(
        textwrap.dedent(f"""\
        #!{sys.executable}
        import sys
        from pathlib import Path
        import kubernetes_validate
        from tests.deploy.kustomize import render
        apply, _k, folder = sys.argv[1:]
        assert apply == "apply"
        for manifest in render(Path(folder)):
            if manifest["kind"] not in ("ServiceMonitor", "RayService", "RayJob"):  # of operators
                kubernetes_validate.validate(manifest, "1.37", strict=True)
            print(manifest["kind"].lower())
        """)
    )
    stand_in.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    answer = subprocess.run(
        shlex.split(line),
        cwd=ROOT,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        executable=shutil.which("kubectl", path=path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"^(deployment|rayservice|rayjob)$", answer.stdout, re.MULTILINE)
