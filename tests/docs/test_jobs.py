"""The commands of docs/jobs.md, each block in a shell of its own, on a real server."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.service.serving import ServerThread, picture, png_bytes, serving
from tests.solvable import solve

PAGE = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
IMAGE = picture(40, 60)


@pytest.fixture(scope="module")
def server(
    openvino_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    folder = tmp_path_factory.mktemp("jobs")
    with serving(openvino_store, job_folder=folder, job_priority="normal") as running:
        yield running


def run(block: str, server: ServerThread, folder: Path) -> str:
    (folder / "photo.jpg").write_bytes(png_bytes(IMAGE))  # which type it is, is read from the bytes
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", block],
        cwd=folder,
        env=os.environ | {"SERVER": server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_picture_is_sent_asked_after_and_fetched(server: ServerThread, tmp_path: Path) -> None:
    run(BLOCKS[0], server, tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), solve(IMAGE))
    assert server.client.get("/jobs").json()["jobs"] == []  # it was deleted in the end


def test_an_upload_goes_on_where_it_stopped(server: ServerThread, tmp_path: Path) -> None:
    run(BLOCKS[1], server, tmp_path)
    (job,) = server.client.get("/jobs").json()["jobs"]
    assert job["state"] != "uploading"
    assert job["received_bytes"] == job["bytes"] == len(png_bytes(IMAGE))


def test_every_block_is_run() -> None:
    assert len(BLOCKS) == 2
