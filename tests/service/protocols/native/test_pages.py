"""What is served to browsers: pages, their assets, and the headers that keep them to themselves."""

import re
from pathlib import Path

import pytest

from service.protocols.native.pages import WEB
from tests.service.serving import ServerThread, serving

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PAGES = ("/", "/docs", "/models/solvable")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_load_from_its_own_server_alone(server: ServerThread, path: str) -> None:
    answer = server.client.get(path, headers={"Accept": BROWSER})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert server.client.head(path, headers={"Accept": BROWSER}).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_everything_a_page_names_is_there(server: ServerThread, path: str) -> None:
    answer = server.client.get(path, headers={"Accept": BROWSER})
    named = re.findall(r'(?:src|href|data-example)="([^"#]+)"', answer.text)
    assert named
    for address in named:
        linked = server.client.get(str(answer.url.join(address)))
        assert linked.status_code == 200, address
        if address.endswith((".css", ".js", ".svg", ".jpg")):
            assert linked.headers["cache-control"] == "no-cache"


def test_a_model_is_a_page_to_browsers_and_json_to_programs(server: ServerThread) -> None:
    page = server.client.get("/models/solvable", headers={"Accept": BROWSER})
    assert page.text.startswith("<!doctype html>")
    assert "Accept" in page.headers["vary"]
    for accept in ("*/*", "application/json", "application/json, text/html"):
        answer = server.client.get("/models/solvable", headers={"Accept": accept})
        assert answer.json()["name"] == "solvable"
        assert "Accept" in answer.headers["vary"]


def test_the_page_of_a_model_that_is_not_there_is_a_404(server: ServerThread) -> None:
    answer = server.client.get("/models/nothing", headers={"Accept": BROWSER})
    assert answer.status_code == 404
    assert answer.text.startswith("<!doctype html>")


def test_pages_work_below_a_prefix(solvable_store: Path) -> None:
    """A proxy strips the prefix, so no address in a page may begin with a slash; that of /vision
    itself says what its addresses are relative to.
    """
    base = '<base href="/vision/">'
    with serving(solvable_store, root_path="/vision", lazy_loading=True) as running:
        assert base in running.client.get("/").text
        for path in PAGES:
            text = running.client.get(path, headers={"Accept": BROWSER}).text.replace(base, "")
            assert not re.search(r'(?:src|href|data-example)="/', text)


def test_nothing_we_wrote_for_browsers_names_another_host() -> None:
    ours = [path for path in WEB.rglob("*") if path.suffix in (".html", ".js", ".css", ".svg")]
    ours = [path for path in ours if not path.name.startswith("swagger-ui")]
    assert len(ours) > 10
    for path in ours:
        addresses = set(re.findall(r"https?://[\w.-]+", path.read_text()))
        assert addresses <= {"http://www.w3.org"}, path  # a namespace, which is never fetched
