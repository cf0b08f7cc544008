"""The pages for everyone: with a screen reader, on a phone, in the dark, behind a key. These tests
take the screenshots.
"""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from service.protocols.keys import format_line, make_key
from tests.service.serving import ServerThread, picture, png_bytes, serving
from tests.service.web.visit import Visit

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
Place = tuple[float, float]  # x and y in the window

DEVICES: dict[str, dict[str, Any]] = {
    "desk": {},
    "dark": {"color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "has_touch": True,
        "is_mobile": True,
    },
}


def grave_violations(visit: Visit) -> list[str]:
    """What axe finds that is serious or critical, with the elements it concerns."""
    visit.page.evaluate(AXE)
    found = visit.page.evaluate("axe.run()")["violations"]
    return [
        f"{violation['id']}: {[node['html'] for node in violation['nodes']]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


class Fingers:
    """Touches of the screen, as the browser gets them from the system."""

    def __init__(self, visit: Visit) -> None:
        self._session = visit.page.context.new_cdp_session(visit.page)

    def move(self, start: Sequence[Place], end: Sequence[Place], steps: int = 8) -> None:
        """Put a finger on each place of `start`, draw it to its place of `end`, and lift it."""
        self._send("touchStart", start)
        for step in range(1, steps + 1):
            part = step / steps
            moved = [
                (x + (to_x - x) * part, y + (to_y - y) * part)
                for (x, y), (to_x, to_y) in zip(start, end, strict=True)
            ]
            self._send("touchMove", moved)
        self._send("touchEnd", [])

    def _send(self, kind: str, places: Sequence[Place]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


@pytest.fixture(params=DEVICES)
def device(
    request: pytest.FixtureRequest, browser: Browser, page_server: ServerThread
) -> Iterator[tuple[str, Visit]]:
    with Visit.begin(browser, page_server.url, **DEVICES[request.param]) as visit:
        yield request.param, visit


def test_the_page_is_accessible_and_fits_every_window(
    device: tuple[str, Visit], screenshots: Path
) -> None:
    name, visit = device
    visit.open("/")
    expect(visit.page.locator("#model")).to_be_enabled()
    visit.page.screenshot(path=screenshots / f"welcome-{name}.png")
    assert grave_violations(visit) == []
    visit.page.locator("#examples button").first.click()
    visit.wait_for_classes()
    visit.page.screenshot(path=screenshots / f"picture-{name}.png", full_page=True)
    visit.page.locator("#legend button").first.click()
    visit.page.get_by_role("button", name="Compare").click()
    visit.page.locator("#viewer").focus()
    for _ in range(9):
        visit.page.keyboard.press("ArrowDown")
    visit.wait_for_drawing()
    visit.page.screenshot(path=screenshots / f"compare-{name}.png")
    assert grave_violations(visit) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_of_a_model_is_accessible_and_fits_every_window(
    device: tuple[str, Visit], screenshots: Path
) -> None:
    name, visit = device
    visit.open("/models/solvable")
    expect(visit.page.locator("#facts")).to_be_visible()
    visit.page.screenshot(path=screenshots / f"model-{name}.png")
    assert grave_violations(visit) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_two_fingers_zoom_and_one_pans(browser: Browser, page_server: ServerThread) -> None:
    with Visit.begin(browser, page_server.url, **DEVICES["phone"]) as visit:
        visit.open("/")
        visit.drop(png_bytes(picture(12, 18)))
        visit.wait_for_classes()
        shown = visit.page.locator("#zoom-value")
        fitted = shown.text_content() or ""
        touch = Fingers(visit)
        touch.move([(180, 200), (200, 200)], [(100, 200), (290, 200)])
        expect(shown).not_to_have_text(fitted)
        expect(visit.page.locator("#viewer")).to_have_class("viewer is-zoomed")
        before = visit.page.locator("#viewer").screenshot()
        touch.move([(200, 200)], [(120, 160)])
        visit.wait_for_drawing()
        assert visit.page.locator("#viewer").screenshot() != before
        touch.move([(40, 200), (350, 200)], [(190, 200), (200, 200)])
        expect(shown).to_have_text(fitted)


def test_the_page_asks_for_a_key_where_the_server_does(
    browser: Browser, solvable_store: Path, tmp_path: Path, screenshots: Path
) -> None:
    key = make_key()
    key_file = tmp_path / "keys"
    key_file.write_text(format_line("anna", key) + "\n")
    with (
        serving(solvable_store, default_model="solvable", api_keys_file=key_file) as server,
        Visit.begin(browser, server.url) as visit,
    ):
        visit.open("/models/solvable")
        expect(visit.page.get_by_role("alert")).to_contain_text("asks for an API key")
        visit.open("/")
        field = visit.page.get_by_label("Key", exact=True)
        field.fill("not the key")
        visit.page.screenshot(path=screenshots / "key.png")
        field.press("Enter")
        expect(visit.page.locator("#key-text")).to_contain_text("not one of this server's")
        field.fill(key)
        field.press("Enter")
        visit.drop(png_bytes(picture(8, 8)))
        visit.wait_for_classes()
        expect(visit.page.locator("#curl")).to_contain_text("Authorization: Bearer $SEGSERVE_KEY")
        visit.open("/models/solvable")
        expect(visit.page.locator("#card h1")).to_have_text("solvable")
        assert (
            len(visit.errors) == 3
        )  # the browser's own lines: the model's page, no key, the wrong one
        assert all("401" in error for error in visit.errors)
        visit.errors.clear()
