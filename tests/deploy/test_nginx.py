"""deploy/nginx: its numbers against the settings', and a real nginx before a real server."""

import io
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service.settings import Settings
from tests.service.serving import ServerThread, picture, png_bytes, serving, wait_until
from tests.solvable import solve

CONF = (Path(__file__).parents[2] / "deploy/nginx/segserve.conf").read_text()
HOST = "vision.example.org"
MEBIBYTE = 2**20


def test_nginx_lets_through_what_the_server_takes() -> None:
    found = re.search(r"client_max_body_size (\d+)m;", CONF)
    assert found is not None
    largest = max(Settings().max_upload_bytes, Settings().max_batch_upload_bytes)
    assert int(found[1]) * MEBIBYTE >= largest


def test_nginx_waits_longer_than_the_server_takes() -> None:
    found = re.search(r"proxy_read_timeout (\d+)s;", CONF)
    assert found is not None
    assert int(found[1]) > Settings().request_timeout_seconds


def test_the_settings_that_it_asks_for_are_those_of_the_server() -> None:
    assert f"--root-path /vision --allowed-hosts {HOST}" in CONF
    assert "location /vision/ {" in CONF
    assert f"server_name {HOST};" in CONF


@pytest.fixture(scope="module")
def server(solvable_store: Path) -> Iterator[ServerThread]:
    with serving(
        solvable_store, root_path="/vision", allowed_hosts=(HOST,), default_model="solvable"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def proxied(
    server: ServerThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client that speaks to nginx by the name that it serves."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("there is no nginx on this machine; on Debian: apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    conf = CONF.replace("listen 80;", f"listen 127.0.0.1:{port};")
    (folder / "segserve.conf").write_text(
        conf.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
    )
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary} include {folder}/segserve.conf; }}\n"
    )
    nginx = subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    url = f"http://127.0.0.1:{port}"

    def listens() -> bool:
        assert nginx.poll() is None, (folder / "error.log").read_text()
        try:
            httpx.get(url)
        except httpx.TransportError:
            return False
        return True

    try:
        wait_until(listens, "nginx")
        with httpx.Client(base_url=url, headers={"Host": HOST}, timeout=60) as client:
            yield client
    finally:
        nginx.terminate()
        nginx.wait()


def test_a_photograph_goes_through_nginx_and_its_mask_comes_back(proxied: httpx.Client) -> None:
    image = picture(700, 800)  # 1.6 MB: more than nginx lets through unasked
    answer = proxied.post("/vision/segment", files={"image": png_bytes(image)})
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(answer.content))), solve(image))
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_the_page_and_all_it_loads_are_there_below_the_prefix(proxied: httpx.Client) -> None:
    without_slash = proxied.get("/vision")
    assert without_slash.status_code == 308
    assert without_slash.headers["Location"] == "/vision/"
    page = proxied.get("/vision/", headers={"Accept": "text/html"}).text
    for address in re.findall(r'(?:src|href)="([\w./-]+\.(?:js|css|svg|jpg))"', page):
        assert proxied.get(f"/vision/{address}").status_code == 200, address
    document = proxied.get("/vision/openapi.json").json()
    assert document["servers"] == [{"url": "/vision"}]


def test_the_server_s_own_refusals_reach_the_caller(proxied: httpx.Client) -> None:
    answer = proxied.post("/vision/segment?format=tiff", files={"image": b"x"})
    assert answer.status_code == 406
    assert answer.headers["Content-Type"] == "application/problem+json"
