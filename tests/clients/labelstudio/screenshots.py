"""The pictures of docs/annotate.md, from a real Label Studio that has segserve's predictions.

    python -m tests.clients.labelstudio.screenshots http://127.0.0.1:8080 E-MAIL PASSWORD PROJECT

The project is one that `client.py` would make. Drives the machine's own chromium.
"""

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parents[3] / "docs" / "images" / "annotate"
SIZE = {"width": 1200, "height": 760}


def log_in(page: Page, studio: str, email: str, password: str) -> None:
    page.goto(f"{studio}/user/login/")
    page.fill("input[name=email]", email)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_load_state("networkidle")


def take(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png")


def main(studio: str, email: str, password: str, project: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE)
        log_in(page, studio, email, password)
        page.goto(f"{studio}/projects/{project}/settings/ml")
        page.get_by_text("Connected").first.wait_for()
        take(page, "model")
        page.goto(f"{studio}/projects/{project}/data")
        page.get_by_text("Label All Tasks").wait_for()
        take(page, "tasks")
        page.locator(".dm-table__row-wrapper, .dm-table-row, [class*=row-wrapper]").first.click()
        page.locator("canvas").first.wait_for()
        page.get_by_text("Road").first.wait_for()
        page.wait_for_timeout(3000)  # the masks are painted after all else
        take(page, "labeling")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
