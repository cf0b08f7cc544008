"""The Host header: pages that point a name of theirs at this server, and everyone else."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.protocols.hosts import AllowedHosts, is_loopback
from service.protocols.problems import MalformedRequestError
from service.setting_flags import read_settings
from service.settings import SettingError, Settings
from tests.service.serving import TIMEOUT_SECONDS, ServerThread, picture, png_bytes, serving

LOOPBACK = AllowedHosts(["127.0.0.1"], any_address=False)
NAMED = AllowedHosts(["Vision.example.org", "*.apps.example.org.", "[fd00::7]"], any_address=True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8000",
        "localhost.:8000",
        "segserve.localhost",
        "127.0.0.1",
        "127.0.0.1:8000",
        "127.9.9.9",
        "127.1:8000",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]:8000",
        "localhost:",
    ],
)
def test_every_name_of_loopback_is_let_in(host: str) -> None:
    assert LOOPBACK.allow(host.encode())
    assert NAMED.allow(host.encode())


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "10.0.0.7",
        "0.0.0.0:8000",
        "[fd00::7]",
        "[::ffff:10.0.0.7]",
    ],
)
def test_nothing_else_is_where_it_listens_on_loopback(host: str) -> None:
    assert not LOOPBACK.allow(host.encode())


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("vision.example.org", True),
        ("VISION.EXAMPLE.ORG.:443", True),
        ("a.apps.example.org", True),
        ("a.b.apps.example.org", True),
        ("apps.example.org", False),
        ("evilapps.example.org", False),
        ("www.vision.example.org", False),
        ("vision.example.org.evil.example", False),
        ("10.0.0.7:8000", True),
        ("[fd00::7]:8000", True),
        ("[fd00::8]", True),
        ("localhost", True),
    ],
)
def test_the_names_that_are_set_are_let_in_and_all_addresses(host: str, allowed: bool) -> None:
    assert NAMED.allow(host.encode()) == allowed


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "user@localhost", "localhost/", "http://localhost", "::1", "a:b", "é"]
)
def test_what_is_no_host_is_malformed(host: str) -> None:
    for hosts in (LOOPBACK, NAMED):
        with pytest.raises(MalformedRequestError, match="a name or an address, and a port"):
            hosts.allow(host.encode())


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
    ],
)
def test_loopback_is_known_by_its_names_and_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


@pytest.mark.parametrize(
    "value",
    ["http://a.example", "a.example:8000", "a.example/x", "*.*.example", "a b", "*a.example"],
)
def test_a_setting_that_is_no_host_is_one_sentence(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGSERVE_ALLOWED_HOSTS", f"b.example,{value}")
    with pytest.raises(SettingError, match="is not a host") as caught:
        read_settings([])
    assert str(caught.value).startswith("SEGSERVE_ALLOWED_HOSTS (flag --allowed-hosts) is ")


@pytest.mark.parametrize(
    "value", ["*", "a.example", "*.a.example.", "::1", "[fd00::7]", "10.0.0.7"]
)
def test_a_setting_may_be_a_name_an_address_or_a_wildcard(value: str) -> None:
    assert Settings(allowed_hosts=(value,)).allowed_hosts == (value,)


def test_a_page_that_points_its_name_at_this_server_is_refused(server: ServerThread) -> None:
    rebound = {"Host": f"evil.example:{server.port}"}
    for response in (
        server.client.get("/health/live", headers=rebound),
        server.client.get("/", headers=rebound),
        server.client.get("/models", headers=rebound),
        server.client.post("/segment", files={"image": png_bytes(picture(8, 8))}, headers=rebound),
    ):
        assert response.status_code == 421
        problem = response.json()
        assert problem["type"] == "urn:segserve:problem:host-not-allowed"
        assert "'evil.example'" in problem["detail"]
        assert "SEGSERVE_ALLOWED_HOSTS" in problem["detail"]
    refused = server.client.get("/v2", headers=rebound)
    assert refused.status_code == 421
    assert set(refused.json()) == {"error"}
    for host in (f"localhost:{server.port}", f"LOCALHOST.:{server.port}", "[::1]"):
        assert server.client.get("/models", headers={"Host": host}).status_code == 200


def send(server: ServerThread, head: str) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.sendall(f"{head}\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


CLOSE = "\r\nConnection: close"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"GET /health/live HTTP/1.1{CLOSE}", 400),
        (f"GET /health/live HTTP/1.1\r\nHost:{CLOSE}", 400),
        (f"GET /health/live HTTP/1.1\r\nHost: localhost\r\nHost: localhost{CLOSE}", 400),
        ("GET /health/live HTTP/1.0", 200),
        ("GET /health/live HTTP/1.0\r\nHost: evil.example", 421),
        (f"GET http://evil.example/health/live HTTP/1.1\r\nHost: localhost{CLOSE}", 421),
        (f"GET http://localhost:1/health/live HTTP/1.1\r\nHost: evil.example{CLOSE}", 200),
        (f"GET http://[::1]:8000/health/live HTTP/1.1\r\nHost: x{CLOSE}", 200),
        (f"GET http://localhost/health/live HTTP/1.1{CLOSE}", 200),
        (f"GET http://evil.example HTTP/1.1\r\nHost: localhost{CLOSE}", 421),
        (f"GET http://localhost HTTP/1.1\r\nHost: localhost{CLOSE}", 200),
        (f"GET http://localhost/models?x=1 HTTP/1.1\r\nHost: localhost{CLOSE}", 200),
        (f"OPTIONS * HTTP/1.1\r\nHost: localhost{CLOSE}", 404),
    ],
)
def test_old_and_odd_requests_are_looked_at_as_well(
    server: ServerThread, head: str, status: int
) -> None:
    assert send(server, head).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.fixture(scope="module")
def named(store: Path) -> Iterator[ServerThread]:
    """Behind a proxy, which says the name that it was called by."""
    with serving(
        store, lazy_loading=True, root_path="/vision", allowed_hosts=("vision.example.org",)
    ) as running:
        yield running


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("vision.example.org", 200),
        ("10.0.0.7:8000", 200),
        ("localhost", 200),
        ("evil.example", 421),
    ],
)
def test_behind_a_proxy_the_name_that_is_set_is_let_in(
    named: ServerThread, host: str, status: int
) -> None:
    answer = httpx.get(
        f"{named.url}/models", headers={"Host": host, "X-Forwarded-Host": "vision.example.org"}
    )
    assert answer.status_code == status


def test_a_server_for_other_machines_takes_any_name_unless_it_is_told_some(store: Path) -> None:
    with serving(store, lazy_loading=True, host="0.0.0.0") as server:
        for host in ("10.1.2.3:8000", "segserve.default.svc.cluster.local", "anything"):
            assert server.client.get("/health/live", headers={"Host": host}).is_success
        assert send(server, f"GET /health/live HTTP/1.1{CLOSE}").startswith(b"HTTP/1.1 200 ")


def test_any_name_is_let_in_where_the_setting_says_so(store: Path) -> None:
    with serving(store, lazy_loading=True, allowed_hosts=("*",)) as server:
        assert server.client.get("/health/live", headers={"Host": "evil.example"}).is_success
