"""A phone's photograph on the page: right, and as easy to look at as a small one."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image
from playwright.sync_api import Browser, expect

from models.contract import FrameScale, read_contract, write_contract
from tests.service.serving import ServerThread, png_bytes, serving
from tests.service.web.visit import PATIENCE_MILLISECONDS, Visit
from tests.solvable import RGB_CLASSES, save_solvable_model, solve

LONG_SIDE = 252
HEIGHT, WIDTH = 4032, 3024  # a phone's, upright
CELLS = 8, 6
PALETTE = np.array([one.rgb for one in RGB_CLASSES], np.uint8)
OWN_THREAD = """
    window.asked = 0;
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (...given) {
      asked += 1;
      return post.apply(this, given);
    };
    window.createImageBitmap = () => {
      throw new Error("a bitmap is made in the page's own thread");
    };
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    store = tmp_path_factory.mktemp("frames")
    artefact = save_solvable_model(store, "frames")
    facts = {"scale": FrameScale(long_side=LONG_SIDE)}
    write_contract(artefact, read_contract(artefact).model_copy(update=facts))
    with serving(store) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, server: ServerThread) -> Iterator[Visit]:
    """It fails where the page makes a bitmap in its own thread, which stands still meanwhile."""
    with Visit.begin(browser, server.url) as visit:
        visit.page.add_init_script(OWN_THREAD)
        visit.open("/")
        yield visit


def colors() -> NDArray[np.uint8]:
    """(CELLS, 3): large fields, each of one class."""
    ids = np.random.default_rng(3).integers(0, 3, CELLS)
    return np.where(np.eye(3, dtype=bool)[ids], 220, 30).astype(np.uint8)


def photograph() -> bytes:
    """12 megapixels on their side, with an orientation, as phones save them."""
    upright = Image.fromarray(colors()).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
    file, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_a_phone_s_photograph_is_seen_under_its_classes(visit: Visit) -> None:
    visit.drop(photograph(), "phone.jpg", "image/jpeg")
    visit.wait_for_classes()
    visit.set_opacity(100)
    np.testing.assert_array_equal(visit.seen(*CELLS), PALETTE[solve(colors())])
    visit.set_opacity(0)
    assert np.abs(visit.seen(*CELLS).astype(int) - colors()).max() < 20
    name, mask = visit.download()
    assert name == "phone.mask.png"
    with Image.open(io.BytesIO(mask)) as image:
        assert image.size == (WIDTH, HEIGHT)
        middles = np.asarray(image.resize(CELLS[::-1], Image.Resampling.NEAREST))
    np.testing.assert_array_equal(middles, solve(colors()))
    line = visit.page.locator("#curl").text_content()
    assert line is not None
    assert "image=@phone.jpg" in line


def test_a_class_is_shown_alone_without_a_bitmap_of_the_page_s_own(visit: Visit) -> None:
    visit.drop(photograph(), "phone.jpg", "image/jpeg")
    visit.wait_for_classes()
    visit.set_opacity(100)
    green = visit.page.locator("#legend").get_by_role("button", name="green")
    green.click()
    classes = solve(colors())
    wanted = np.where((classes == 1)[..., np.newaxis], PALETTE[classes], colors())
    np.testing.assert_allclose(visit.seen(*CELLS), wanted, atol=20)


def test_pointer_moves_and_opacity_paint_nothing_anew(visit: Visit) -> None:
    large = np.zeros((3000, 4000, 3), np.uint8)
    large[1500:, :, 1] = 200
    visit.choose(("large.png", png_bytes(large)))
    visit.wait_for_classes()
    asked = visit.page.evaluate("asked")
    assert asked > 0
    for x in range(100, 600, 50):
        visit.page.mouse.move(x, 300)
        visit.set_opacity(x // 10)
    visit.page.mouse.wheel(0, -600)
    visit.wait_for_drawing()
    expect(visit.page.locator("#probe")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    assert visit.page.evaluate("asked") == asked
    canvas = visit.page.evaluate("[document.getElementById('class-layer').width, innerWidth]")
    assert canvas[0] < canvas[1]
