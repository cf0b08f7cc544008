"""A browser, and a server for it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.service.serving import ServerThread, serving
from tests.service.web.visit import Visit

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Playwright's loop runs in this thread while it is open, so it must not outlive these tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def page_server(store: Path) -> Iterator[ServerThread]:
    """`solvable/1`, `gray/1` and `flaky/1` with the limits that a server has by default."""
    with serving(store, default_model="solvable") as running:
        yield running


@pytest.fixture
def visit(browser: Browser, page_server: ServerThread) -> Iterator[Visit]:
    """A fresh visit to the page at /. It fails if the page writes an error or asks another host for
    anything.
    """
    with Visit.begin(browser, page_server.url) as visit:
        visit.open("/")
        yield visit


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that SCREENSHOTS names, to look at them; else one that is thrown away."""
    named = os.environ.get("SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
