"""The bundled examples with the bundled model: what a person sees first."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from service.settings import BUNDLED_MODELS
from tests.service.serving import ServerThread, serving
from tests.service.web.visit import Visit

EXPECTED = {"road": 25.0, "sky": 8.0, "tree": 1.0, "building": 3.0, "pavement": 2.0, "car": 1.0}


@pytest.fixture(scope="module")
def bundled_server() -> Iterator[ServerThread]:
    if not (BUNDLED_MODELS / "street").is_dir():
        pytest.skip("this checkout has no street model")
    with serving(BUNDLED_MODELS, default_model="street") as running:
        yield running


@pytest.mark.parametrize("example", ["avenue", "high-street", "junction"])
def test_the_street_model_makes_sense_of_the_examples(
    browser: Browser, bundled_server: ServerThread, screenshots: Path, example: str
) -> None:
    with Visit.begin(browser, bundled_server.url) as visit:
        visit.open("/")
        visit.page.locator(f"#examples [data-example*={example}]").click()
        visit.wait_for_classes()
        legend = visit.legend()
        too_small = {name for name, least in EXPECTED.items() if legend.get(name, 0.0) < least}
        assert too_small == set(), legend
        visit.page.locator("#viewer").hover(position={"x": 465, "y": 560})
        visit.page.screenshot(path=screenshots / f"example-{example}.png")
