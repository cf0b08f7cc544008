"""What the page says of how sure the model is, in a real browser."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from models.contract import FrameScale, Reference, Spread, read_contract, write_contract
from tests.service.serving import ServerThread, picture, png_bytes, serving
from tests.service.web.visit import Visit
from tests.solvable import RGB_CLASSES, save_solvable_model, solve

HEIGHT, WIDTH = 12, 18
PALETTE = np.array([one.rgb for one in RGB_CLASSES], np.uint8)
WIDE = Spread(mean=0.5, p05=0, p50=0.5, p95=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """A model that was made on bright pictures."""
    store = tmp_path_factory.mktemp("store")
    artefact = save_solvable_model(store)
    reference = Reference(
        split="val",
        images=1,
        class_shares=(0.4, 0.3, 0.3),
        confidence=WIDE,
        brightness=Spread(mean=125, p05=105, p50=125, p95=145),
        long_side=Spread(mean=WIDTH, p05=WIDTH, p50=WIDTH, p95=WIDTH),
    )
    facts = {"reference": reference, "scale": FrameScale(long_side=WIDTH)}
    write_contract(artefact, read_contract(artefact).model_copy(update=facts))
    with serving(store, default_model="solvable") as running:
        yield running


@pytest.fixture
def visit(browser: Browser, server: ServerThread) -> Iterator[Visit]:
    with Visit.begin(browser, server.url) as begun:
        begun.open("/")
        yield begun


def test_what_is_not_sure_enough_is_left_out_here_and_in_what_is_taken_away(visit: Visit) -> None:
    photo = picture(HEIGHT, WIDTH, seed=7)
    visit.drop(png_bytes(photo))
    visit.wait_for_classes()
    visit.set_opacity(100)
    visit.page.locator("#least").fill("60")
    expect(visit.page.locator("#least-value")).to_have_text("60 %")
    shares = photo.max(axis=-1) / photo.sum(axis=-1)
    classes = PALETTE[solve(photo)]
    level = np.rint(shares * 255)
    expected = np.where((level >= np.ceil(0.6 * 255))[..., np.newaxis], classes, photo)
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH), expected)
    expect(visit.page.locator("#curl")).to_contain_text("min_confidence=0.6")
    visit.page.locator("#least").fill("0")
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH), classes)
    expect(visit.page.locator("#curl")).not_to_contain_text("min_confidence")


def test_confidence_is_a_layer_and_the_least_certain_regions_are_listed(visit: Visit) -> None:
    photo = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    photo[:] = (200, 20, 20)  # sure
    photo[4:8, 12:16] = (20, 110, 100)  # hardly
    visit.drop(png_bytes(photo))
    visit.wait_for_classes()
    visit.page.locator("#unsure-regions summary").click()
    rows = visit.page.locator("#unsure button")
    expect(rows).to_have_count(2)
    assert rows.locator(".name").all_text_contents() == ["green", "red"]
    assert rows.locator(".share").all_text_contents() == ["48 %", "83 %"]
    visit.set_opacity(100)
    visit.page.locator("#show-confidence").check()
    expect(visit.page.locator("#viewer")).to_have_attribute("aria-busy", "false")
    seen = visit.seen(HEIGHT, WIDTH).astype(int)
    unsure, sure = seen[6, 14], seen[6, 3]
    assert unsure[0] > unsure[2]  # warm
    assert sure.sum() < unsure.sum()
    visit.page.locator("#show-confidence").uncheck()
    rows.nth(0).click()
    expect(visit.page.locator("#viewer")).to_have_class("viewer is-zoomed")


def test_a_picture_unlike_the_model_s_own_is_told_as_such(visit: Visit) -> None:
    visit.drop(png_bytes(picture(HEIGHT, WIDTH, seed=7)))
    visit.wait_for_classes()
    expect(visit.page.locator("#atypical")).to_be_hidden()
    visit.drop(png_bytes(picture(HEIGHT, WIDTH, seed=7) // 6), "night.png")
    visit.wait_for_classes()
    expect(visit.page.locator("#atypical")).to_contain_text("unlike those")
    expect(visit.page.locator("#atypical")).to_contain_text("its brightness")
