"""`segserve serve` as a process of its own: exact pixels, a real photograph, and a good end."""

import io
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.service.flaky import SLOW, mood
from tests.service.serving import (
    TIMEOUT_SECONDS,
    ServerProcess,
    class_map_of,
    picture,
    png_bytes,
    wait_until,
)
from tests.solvable import solve

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def process(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that the last test of this file ends."""
    arguments = [
        "--model-store",
        str(store),
        "--default-model",
        "solvable",
        "--shutdown-delay-seconds",
        "5",
    ]
    server = ServerProcess(arguments, tmp_path_factory.mktemp("process") / "log")
    server.wait_until_ready()
    yield server
    server.close()


def test_a_class_map_is_exact_to_the_pixel(process: ServerProcess) -> None:
    image = picture(97, 211)
    response = httpx.post(
        f"{process.url}/segment", files={"image": png_bytes(image)}, timeout=TIMEOUT_SECONDS
    )
    np.testing.assert_array_equal(class_map_of(response), solve(image))


def test_curl_gets_a_coloured_mask(process: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(png_bytes(picture(30, 40)))
    command = [
        "curl",
        "-sS",
        "-f",
        "-F",
        f"image=@{tmp_path}/photo.png",
        f"{process.url}/segment",
        "-o",
        f"{tmp_path}/mask.png",
    ]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("no curl on this machine")
    mask = Image.open(tmp_path / "mask.png")
    assert (mask.mode, mask.size) == ("P", (40, 30))
    palette = mask.getpalette()
    assert palette is not None
    assert palette[:9] == [0xE5, 0x39, 0x35, 0x43, 0xA0, 0x47, 0x1E, 0x88, 0xE5]


def test_many_clients_each_get_their_own_map(process: ServerProcess) -> None:
    def check(seed: int) -> None:
        image = picture(20 + seed % 7, 30 + seed % 5, seed)
        response = client.post("/segment", files={"image": png_bytes(image)})
        np.testing.assert_array_equal(class_map_of(response), solve(image))

    with (
        httpx.Client(base_url=process.url, timeout=TIMEOUT_SECONDS) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(check, range(200)))


def test_sigterm_under_load_loses_no_accepted_request_and_exits_with_0(
    process: ServerProcess,
) -> None:
    """As behind a load balancer: clients send until they see it is not ready; each request sent is
    answered.
    """
    not_ready = threading.Event()
    body = png_bytes(picture(64, 64))

    def probe() -> None:
        with httpx.Client(base_url=process.url, timeout=TIMEOUT_SECONDS) as client:
            while client.get("/health/ready").status_code != 503:
                time.sleep(0.02)
        not_ready.set()

    def requests_in_progress() -> int:
        """With the one that asks."""
        metrics = httpx.get(f"{process.url}/metrics", timeout=TIMEOUT_SECONDS).text
        (number,) = re.findall(r"^segserve_requests_in_progress (\S+)$", metrics, re.MULTILINE)
        return int(float(number))

    def send() -> list[int]:
        statuses = []
        with httpx.Client(base_url=process.url, timeout=TIMEOUT_SECONDS) as client:
            while not not_ready.is_set():
                statuses.append(client.post("/segment", files={"image": body}).status_code)
        return statuses

    def send_slow() -> int:
        image = {"image": png_bytes(mood(SLOW))}
        return httpx.post(
            f"{process.url}/segment?model=flaky", files=image, timeout=TIMEOUT_SECONDS
        ).status_code

    with ThreadPoolExecutor(9) as pool:
        slow = [pool.submit(send_slow) for _ in range(2)]
        wait_until(lambda: requests_in_progress() > 2, "the slow requests to arrive")
        clients = [pool.submit(send) for _ in range(6)]
        probing = pool.submit(probe)
        wait_until(lambda: requests_in_progress() > 3, "others beside them")
        process.terminate()
        statuses = [status for client in clients for status in client.result()]
        assert [future.result() for future in slow] == [200, 200]
        probing.result()
    assert statuses
    assert set(statuses) == {200}
    assert process.wait() == 0
    assert "Traceback" not in process.log.read_text()


def test_ctrl_c_ends_it_at_once_even_while_it_loads(store: Path, tmp_path: Path) -> None:
    server = ServerProcess(
        ["--model-store", str(store), "--models", "gray", "--shutdown-delay-seconds", "3000"],
        tmp_path / "log",
    )
    wait_until(lambda: "loading" in server.log.read_text(), "a model that loads")
    server.process.send_signal(signal.SIGINT)
    assert server.wait() == 0
    server.close()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(
        ["--models", "street", "--shutdown-delay-seconds", "0"],
        tmp_path_factory.mktemp("street") / "log",
    )
    server.wait_until_ready()
    yield server
    server.close()


def test_the_bundled_model_knows_a_street(street: ServerProcess) -> None:
    photographs = sorted((DATA / "camvid" / "images" / "test").glob("*.jpg"))[:5]
    if not photographs:
        pytest.skip(
            "the camvid photographs (shared/data beside the repository) are not on this machine"
        )
    right = total = 0
    for photograph in photographs:
        response = httpx.post(
            f"{street.url}/segment", content=photograph.read_bytes(), timeout=TIMEOUT_SECONDS
        )
        truth = np.array(Image.open(DATA / "camvid" / "masks" / "test" / f"{photograph.stem}.png"))
        class_map = class_map_of(response)
        assert class_map.shape == truth.shape
        known = truth != 11
        right += int((class_map[known] == truth[known]).sum())
        total += int(known.sum())
    assert right / total > 0.8


def test_the_bundled_model_answers_any_size(street: ServerProcess) -> None:
    for height, width in ((1, 1), (33, 500), (719, 1279)):
        image = np.full((height, width, 3), 128, np.uint8)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG")
        response = httpx.post(
            f"{street.url}/segment", content=file.getvalue(), timeout=TIMEOUT_SECONDS
        )
        assert class_map_of(response).shape == (height, width)
