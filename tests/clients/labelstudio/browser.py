"""A person at Label Studio: opens tasks that segserve has drawn on, paints with the brush, submits,
and takes the pictures of docs/annotate.md on the way.

    python -m tests.clients.labelstudio.browser STUDIO E-MAIL PASSWORD PROJECT FOLDER

The project is one that `client.py` makes. Drives the machine's own chromium by the project's own
Python. Prints a line of JSON a stroke: the task's id, and where it began and ended, in shares of
the picture's width and height. FOLDER is where the pictures go; docs/images/annotate has those of
the docs.
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

SIZE = {"width": 1200, "height": 760}
STROKES = (  # a label, and its ends in shares of the picture; over road, where it is surely wrong
    ("Tree", (0.40, 0.80), (0.60, 0.80)),
    ("Vehicle", (0.30, 0.90), (0.55, 0.86)),
)
LONG = 120_000  # milliseconds; a picture of 20 masks takes seconds to be painted


def log_in(page: Page, studio: str, email: str, password: str) -> None:
    page.goto(f"{studio}/user/login/")
    page.fill("input[name=email]", email)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_load_state("networkidle")


def take(page: Page, folder: Path, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / f"{name}.png")


def open_task(page: Page, studio: str, project: str, number: int) -> str:
    """The id of the task in that row of the list, opened with its masks painted."""
    page.goto(f"{studio}/projects/{project}/data")
    page.get_by_text("Label All Tasks").wait_for()
    rows = page.locator(".dm-table__row-wrapper, .dm-table-row, [class*=row-wrapper]")
    rows.nth(number).click()
    page.locator("canvas").first.wait_for()
    page.get_by_text("Road").first.wait_for()
    page.wait_for_function("() => new URLSearchParams(location.search).get('task')")
    page.wait_for_timeout(3000)  # the masks are painted after all else, and nothing says when
    task: str = page.evaluate("() => new URLSearchParams(location.search).get('task')")
    return task


def paint(page: Page, label: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A stroke of the brush with a label, by the mouse."""
    picture = page.locator("canvas").first.bounding_box()
    assert picture is not None
    page.get_by_text(label, exact=True).first.click()
    ends = [
        (picture["x"] + x * picture["width"], picture["y"] + y * picture["height"])
        for x, y in (start, end)
    ]
    page.mouse.move(*ends[0])
    page.mouse.down()
    page.mouse.move(*ends[1], steps=25)
    page.mouse.up()
    page.wait_for_timeout(500)


def main(studio: str, email: str, password: str, project: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(LONG)
        log_in(page, studio, email, password)
        page.goto(f"{studio}/projects/{project}/settings/ml")
        page.get_by_text("Connected").first.wait_for()
        take(page, folder, "model")
        page.goto(f"{studio}/projects/{project}/data")
        page.get_by_text("Label All Tasks").wait_for()
        take(page, folder, "tasks")
        for number, (label, start, end) in enumerate(STROKES):
            task = open_task(page, studio, project, number)
            if number == 0:
                take(page, folder, "labeling")
            paint(page, label, start, end)
            if number == 0:
                take(page, folder, "corrected")
            with page.expect_response(lambda answer: "/annotations" in answer.url and answer.ok):
                page.get_by_role("button", name="Submit").click()
            print(json.dumps({"task": task, "label": label, "start": start, "end": end}))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:5], Path(sys.argv[5]))
