"""Real clients against a real server: `make test-clients`. Each has an environment of its own, for
their pins differ.

The server has the bundled model `street`; what each client gets is compared with the answer of POST
/segment.
"""

import argparse
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from tests.service.serving import ServerProcess

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".venvs"
PHOTOGRAPH = HERE.parents[1] / "docs" / "images" / "street.jpg"
EXAMPLES = HERE.parents[1] / "docs" / "examples" / "clients"
EXAMPLE_OF = {
    "tritonclient": "triton.py",
    "kserve": "kserve_v2.py",
    "tfserving": "tensorflow_serving.py",
}
CLIENTS = (
    "curl",
    "tritonclient",
    "kserve",
    "mlserver",
    "tfserving",
    "tfserving_grpc",
    "labelstudio",
    "cvat",
    "datumaro",
    "qupath",
    "supervisely",
    "tuspy",
    "gis",
)
LARGE = ("ultralytics",)  # brings PyTorch with CUDA, gigabytes: run where it is named


def prepare(name: str) -> Path:
    """The client's Python, in an environment that holds what its requirements.txt says."""
    environment = ENVIRONMENTS / name
    python = environment / "bin" / "python"
    requirements = HERE / name / "requirements.txt"
    installed = environment / "requirements.txt"
    if not installed.is_file() or installed.read_bytes() != requirements.read_bytes():
        venv.create(environment, clear=True, with_pip=True)
        install: list[str | Path] = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*install, "--require-hashes", "-r", requirements], check=True)
        installed.write_bytes(requirements.read_bytes())
    return python


def write_case(url: str, folder: Path) -> None:
    """The picture without loss, for decoders of JPEG differ, and the native answer to it."""
    with Image.open(PHOTOGRAPH) as photograph:
        photograph.convert("RGB").save(folder / "image.png")
    answer = httpx.post(
        f"{url}/segment?model=street", content=(folder / "image.png").read_bytes(), timeout=60
    )
    answer.raise_for_status()
    (folder / "class_map.png").write_bytes(answer.content)
    class_map = np.array(Image.open(io.BytesIO(answer.content)))
    np.save(folder / "class_map.npy", class_map)
    (folder / "class_map.raw").write_bytes(class_map.tobytes())


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def grpc_address(log: Path) -> str:
    """Where the server says that it speaks gRPC."""
    found = re.search(r"gRPC is served at ([\w.:]+)", log.read_text())
    assert found is not None, log.read_text()
    return found[1]


def commands(name: str, python: Path | None) -> list[list[Path]]:
    """The client's programs, each in a process of its own: two makers of the same messages cannot
    share one."""
    if python is None:
        return [[HERE / name / "client.sh"]]
    return [[python, program] for program in sorted((HERE / name).glob("*client.py"))]


def run_example(name: str, python: Path, server: str, folder: Path) -> bool:
    """Whether the documents' script for that client gives the mask that the server's own route
    does."""
    script, mask = EXAMPLES / EXAMPLE_OF[name], folder / f"{name}.png"
    command = [str(one) for one in (python, script, server, "street", folder / "image.png", mask)]
    environment = {**os.environ, "PYTHONPATH": ""}
    if subprocess.run(command, env=environment, check=False).returncode:
        return False
    same = np.array_equal(np.array(Image.open(mask)), np.load(folder / "class_map.npy"))
    print(f"{name}: {script.name} {'agrees' if same else 'DOES NOT AGREE'} with the native answer")
    return same


def run(names: Sequence[str]) -> int:
    """Run the clients one after another, and give how many failed."""
    pythons = {name: prepare(name) for name in names if name != "curl"}
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        label_studio_port = str(free_port())
        (folder / "token").touch()  # filled by the client, once its Label Studio has made one
        flags = ["--models", "street", "--grpc-port", "0"]
        flags += ["--label-studio-url", f"http://127.0.0.1:{label_studio_port}"]
        flags += ["--label-studio-token-file", str(folder / "token")]
        flags += ["--job-folder", str(folder / "jobs"), "--job-priority", "normal"]
        server = ServerProcess(flags, folder / "server.log")
        try:
            url = server.wait_until_ready()
            write_case(url, folder)
            http = url.removeprefix("http://")
            grpc = grpc_address(server.log)
            for name in names:
                for command in commands(name, pythons.get(name)):
                    host = grpc if command[-1].name.startswith("grpc") else http
                    environment = {
                        **os.environ,
                        "PYTHONPATH": "",
                        "LABEL_STUDIO_PORT": label_studio_port,
                        "SEGSERVE_PYTHON": sys.executable,
                    }
                    done = subprocess.run([*command, host, folder], env=environment, check=False)
                    failed += done.returncode != 0
                if name in EXAMPLE_OF:
                    failed += not run_example(name, pythons[name], http, folder)
        finally:
            server.terminate()
            server.wait()
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=", ".join((*CLIENTS, *LARGE)))
    names = parser.parse_args().clients or CLIENTS
    if unknown := set(names) - {*CLIENTS, *LARGE}:
        parser.error(
            f"there is no client {unknown.pop()}; there are {', '.join((*CLIENTS, *LARGE))}"
        )
    sys.exit(run(names))


if __name__ == "__main__":
    main()
