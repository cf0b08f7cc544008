"""What a photograph of 48 megapixels takes of the machine's memory, from body to PNG: a server in a
process of its own, whose growth the system counts."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.contract import FrameScale, read_contract, write_contract
from tests.service.serving import ServerProcess, class_map_of
from tests.solvable import save_solvable_model, solve

WIDTH, HEIGHT = 8064, 6048
MEGABYTE = 10**6
# Megabytes above idle, mask and body among them.
MOST: dict[tuple[str, str], int] = {
    ("JPEG", "baseline"): 150,
    ("JPEG", "progressive"): 350,
    ("PNG", ""): 200,
    ("TIFF", "tiff_adobe_deflate"): 200,
    ("WEBP", ""): 350,
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads Linux' own counters")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("large")
    artefact = save_solvable_model(folder / "store", "frames", receptive_field_radius=5)
    facts = {"scale": FrameScale(long_side=480)}
    write_contract(artefact, read_contract(artefact).model_copy(update=facts))
    running = ServerProcess(
        ["--model-store", str(folder / "store"), "--shutdown-delay-seconds", "0"], folder / "log"
    )
    running.wait_until_ready()
    yield running
    running.close()


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    """Soft regions of the three classes."""
    coarse = np.random.default_rng(4).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)


def saved(image: Image.Image, file_format: str, kind: str) -> bytes:
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"progressive": kind == "progressive"},
        "PNG": {"compress_level": 1},
        "TIFF": {"compression": kind},
        "WEBP": {"method": 0},
    }
    file = io.BytesIO()
    image.save(file, file_format, **options[file_format])
    return file.getvalue()


def bytes_of(server: ServerProcess, name: str) -> int:
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(text.partition(f"{name}:")[2].split()[0])


@pytest.mark.parametrize(("file_format", "kind"), MOST)
def test_a_photograph_of_48_megapixels_takes_little_memory(
    server: ServerProcess, photograph: Image.Image, file_format: str, kind: str
) -> None:
    url = server.url
    body = saved(photograph, file_format, kind)
    small = saved(photograph.resize((480, 360)), file_format, kind)
    assert httpx.post(f"{url}/segment", content=small, timeout=600).status_code == 200
    idle = bytes_of(server, "VmRSS")
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # the peak is counted from here
    answer = httpx.post(f"{url}/segment", content=body, timeout=600)
    taken = (bytes_of(server, "VmHWM") - idle) / MEGABYTE
    class_map = class_map_of(answer)
    assert class_map.shape == (HEIGHT, WIDTH)
    expected = solve(np.asarray(photograph.resize((504, 378), Image.Resampling.BOX)))
    assert np.mean(class_map[8::16, 8::16] == expected) > 0.95
    assert taken < MOST[file_format, kind]
