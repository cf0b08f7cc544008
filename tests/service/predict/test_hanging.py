"""What hangs does not keep a job that is told to end."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.contract import MODEL_CARD_PATH
from tests.service.catalogue.stubs import save_stub
from tests.service.serving import TIMEOUT_SECONDS, picture, png_bytes, wait_until

READS_HANG = """
import sys, threading
from pathlib import Path
from service.cli import main
from service.predict import job

def hang(*_):
    Path(sys.argv[1]).touch()
    threading.Event().wait()

job.END_SECONDS = 1.0
job.Picture.read = hang
raise SystemExit(main(sys.argv[2:]))
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(3):
        (folder / f"{n}.png").write_bytes(png_bytes(picture(8, 8, seed=n)))
    return folder


class Pipe:
    """A file that hangs when it is read, as on a network volume that is gone."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._writer: int | None = None

    def is_read(self) -> bool:
        """Whether somebody has opened it; there is nothing for him to read."""
        if self._writer is None:
            with contextlib.suppress(OSError):
                self._writer = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        return self._writer is not None


def start(*program: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *program], stderr=subprocess.PIPE, text=True)


def ended_by(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """What it has said on its standard error."""
    process.send_signal(number)
    try:
        return process.communicate(timeout=TIMEOUT_SECONDS)[1]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_load_that_hangs_does_not_keep_a_job_that_is_told_to_end(
    photos: Path, tmp_path: Path, number: signal.Signals
) -> None:
    store, out = tmp_path / "store", tmp_path / "masks"
    card = save_stub(store) / MODEL_CARD_PATH
    pipe = Pipe(card)
    arguments = ["predict", str(photos), "-o", str(out), "--model-store", str(store)]
    process = start("-m", "service.cli", *arguments)
    card.write_text("It was there when the job looked for its model.")
    wait_until(out.is_dir, "the job to begin")
    wait_until(pipe.is_read, "the load that hangs")
    log = ended_by(process, number)
    assert process.returncode == 128 + number
    assert f"stopped ({number.name}) with 3 left" in log


def test_a_read_that_hangs_is_ended_without_and_that_is_said(
    solvable_store: Path, photos: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    arguments = ["predict", str(photos), "-o", str(tmp_path / "masks")]
    process = start("-c", READS_HANG, str(begun), *arguments, "--model-store", str(solvable_store))
    wait_until(begun.exists, "the read that hangs")
    log = ended_by(process, signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert "did not end within 1 s of SIGTERM" in log
    assert "Run the same command again to resume." in log
