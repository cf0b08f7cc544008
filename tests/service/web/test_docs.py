"""/docs in a real browser."""

from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, FilePayload, expect

from service.protocols.keys import format_line, make_key
from tests.service.serving import ServerThread, picture, png_bytes, serving
from tests.service.web.visit import Visit
from tests.solvable import RGB_CLASSES, solve

PALETTE = np.array([one.rgb for one in RGB_CLASSES], np.uint8)
PIXELS = """async (image) => {
    await image.decode();
    const context = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
    context.drawImage(image, 0, 0);
    return [...context.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data];
}"""


def test_try_it_out_sends_a_picture_and_shows_its_mask(
    browser: Browser, page_server: ServerThread, screenshots: Path
) -> None:
    photo = picture(12, 18, seed=3)
    with Visit.begin(browser, page_server.url) as visit:
        visit.open("/docs")
        operation = visit.page.locator(".opblock-post").first
        expect(operation).to_contain_text("/segment")
        visit.page.screenshot(path=screenshots / "docs.png")
        operation.locator(".opblock-summary-control").click()
        file = FilePayload(name="photo.png", mimeType="image/png", buffer=png_bytes(photo))
        operation.locator("input[type=file]").set_input_files([file])
        operation.locator("tr[data-param-name=format] select").select_option("png")
        operation.get_by_role("button", name="Execute").click()
        shown = operation.locator(".live-responses-table img")
        expect(shown).to_be_visible()
        pixels = np.array(shown.evaluate(PIXELS), np.uint8).reshape(12, 18, 4)
        np.testing.assert_array_equal(pixels[..., :3], PALETTE[solve(photo)])
        shown.scroll_into_view_if_needed()
        visit.page.screenshot(path=screenshots / "docs-answer.png")


def test_every_operation_is_listed_also_in_the_dark(
    browser: Browser, page_server: ServerThread, screenshots: Path
) -> None:
    with Visit.begin(browser, page_server.url, color_scheme="dark") as visit:
        visit.open("/docs")
        document = page_server.client.get("/openapi.json").json()
        operations = sum(len(ways) for ways in document["paths"].values())
        expect(visit.page.locator(".opblock")).to_have_count(operations)
        expect(visit.page.locator("html")).to_have_class("dark-mode")
        visit.page.locator(".opblock-summary-control").nth(2).click()
        expect(visit.page.locator(".opblock .responses-table")).to_be_visible()
        visit.page.screenshot(path=screenshots / "docs-dark.png")


def test_only_a_server_with_keys_asks_for_one(
    browser: Browser, page_server: ServerThread, store: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(format_line("alice", make_key()) + "\n")
    with Visit.begin(browser, page_server.url) as visit:
        visit.open("/docs")
        expect(visit.page.locator(".opblock").first).to_be_visible()
        expect(visit.page.locator(".auth-wrapper")).to_be_hidden()
        expect(visit.page.locator(".authorization__btn").first).to_be_hidden()
    with (
        serving(store, lazy_loading=True, api_keys_file=keys) as running,
        Visit.begin(browser, running.url) as visit,
    ):
        visit.open("/docs")
        expect(visit.page.locator(".auth-wrapper")).to_be_visible()
