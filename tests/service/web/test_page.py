"""The page at /, as a person uses it, in a real browser."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, expect

from service.inputs import readable_suffixes
from service.outputs import OUTPUTS
from tests.service.serving import ServerThread, picture, png_bytes, serving
from tests.service.web.visit import Visit
from tests.solvable import RGB_CLASSES, save_solvable_model, solve

HEIGHT, WIDTH = 12, 18
PALETTE = np.array([one.rgb for one in RGB_CLASSES], np.uint8)
LABELS_AND_FILES = {
    "png": ("PNG", "photo.mask.png"),
    "overlay": ("Overlay", "photo.overlay.png"),
    "rle": ("JSON", "photo.rle.json"),
    "polygons": ("Polygons", "photo.polygons.geojson"),
    "coco": ("COCO", "photo.coco.json"),
    "confidence": ("Confidence", "photo.confidence.png"),
    "uncertainty": ("Uncertainty", "photo.uncertainty.png"),
    "npz": ("NumPy", "photo.npz"),
    "masks": ("Masks", "photo.masks.zip"),
}

COUNT_TASKS = """
const post = Worker.prototype.postMessage;
window.tasks = [];
Worker.prototype.postMessage = function (message) {
  tasks.push(message.task);
  post.call(this, message);
};
"""


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3), with all three classes in unequal shares."""
    return picture(HEIGHT, WIDTH, seed=7)


def show(visit: Visit, photo: NDArray[np.uint8]) -> None:
    visit.drop(png_bytes(photo))
    visit.wait_for_classes()


def test_a_dropped_photograph_is_seen_under_the_palette_s_colours(
    visit: Visit, photo: NDArray[np.uint8]
) -> None:
    show(visit, photo)
    visit.set_opacity(100)
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH), PALETTE[solve(photo)])
    visit.set_opacity(0)
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH), photo)
    visit.set_opacity(50)
    half = (photo.astype(int) + PALETTE[solve(photo)]) / 2
    assert np.abs(visit.seen(HEIGHT, WIDTH) - half).max() <= 2


def test_a_pasted_photograph_is_segmented_too(visit: Visit, photo: NDArray[np.uint8]) -> None:
    visit.paste(png_bytes(photo))
    visit.wait_for_classes()
    assert set(visit.legend()) == {"red", "green", "blue"}


def test_each_example_is_segmented(visit: Visit) -> None:
    examples = visit.page.locator("#examples button")
    count = examples.count()
    assert count >= 2
    for i in range(count):
        visit.open("/")
        examples.nth(i).click()
        visit.wait_for_classes()
        assert sum(visit.legend().values()) == pytest.approx(100)


def test_the_legend_s_shares_are_those_of_the_class_map_and_add_to_100(
    visit: Visit, photo: NDArray[np.uint8]
) -> None:
    show(visit, photo)
    legend = visit.legend()
    assert sum(round(10 * percent) for percent in legend.values()) == 1000
    for one in RGB_CLASSES:
        assert legend[one.name] == pytest.approx(100 * (solve(photo) == one.id).mean(), abs=0.1)
    assert list(legend.values()) == sorted(legend.values(), reverse=True)


def test_classes_that_do_not_occur_are_named_apart(visit: Visit) -> None:
    show(visit, np.full((HEIGHT, WIDTH, 3), (200, 10, 10), np.uint8))
    assert visit.legend() == {"red": 100.0}
    expect(visit.page.locator("#absent")).to_have_text("Not in this picture: green, blue.")


def test_a_click_on_a_class_shows_it_alone_and_a_second_one_all_again(
    visit: Visit, photo: NDArray[np.uint8]
) -> None:
    show(visit, photo)
    visit.set_opacity(100)
    green = visit.page.locator("#legend").get_by_role("button", name="green")
    green.click()
    expect(green).to_have_attribute("aria-pressed", "true")
    classes = solve(photo)
    alone = np.where((classes == 1)[..., np.newaxis], PALETTE[classes], photo)
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH), alone)
    green.click()
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH), PALETTE[classes])


def test_the_class_under_the_pointer_is_named(visit: Visit, photo: NDArray[np.uint8]) -> None:
    show(visit, photo)
    for x, y in ((0, 0), (WIDTH - 1, 3), (9, HEIGHT - 1)):
        place = visit.place_of(x + 0.5, y + 0.5, HEIGHT, WIDTH)
        visit.page.locator("#viewer").hover(position={"x": place["x"], "y": place["y"]})
        name = RGB_CLASSES[solve(photo)[y, x]].name
        expect(visit.page.locator("#probe")).to_have_text(name)
        expect(visit.page.locator("#legend .is-under .name")).to_have_text(name)
    visit.page.mouse.move(2, 2)
    expect(visit.page.locator("#probe")).to_be_hidden()


def test_the_arrow_keys_move_a_pointer_that_names_the_class(
    visit: Visit, photo: NDArray[np.uint8]
) -> None:
    show(visit, photo)
    visit.page.locator("#viewer").focus()
    x, y = WIDTH // 2, HEIGHT // 2
    for key, dx, dy in (("ArrowRight", 1, 0), ("ArrowUp", 0, -1), ("ArrowLeft", -1, 0)):
        visit.page.keyboard.press(key)
        x, y = x + dx, y + dy
        name = RGB_CLASSES[solve(photo)[y, x]].name
        expect(visit.page.locator("#probe")).to_have_text(name)
        expect(visit.page.locator("#status")).to_have_text(f"{name}, {x}, {y}")


def test_compare_shows_the_picture_left_of_the_divider_and_the_classes_right_of_it(
    visit: Visit, photo: NDArray[np.uint8]
) -> None:
    show(visit, photo)
    visit.set_opacity(100)
    visit.page.get_by_role("button", name="Compare").click()
    divider = visit.page.get_by_role("slider", name="Swipe")
    divider.press("Home")
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH)[:, 1:], PALETTE[solve(photo)][:, 1:])
    divider.press("End")
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH)[:, :-1], photo[:, :-1])


def test_wheel_keys_and_drag_zoom_and_pan(visit: Visit, photo: NDArray[np.uint8]) -> None:
    show(visit, photo)
    visit.set_opacity(100)
    shown = visit.page.locator("#zoom-value")
    fitted = shown.text_content()
    viewer = visit.page.locator("#viewer")
    viewer.focus()
    for _ in range(8):
        visit.page.keyboard.press("+")
    expect(shown).not_to_have_text(fitted or "")
    box = viewer.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visit.page.mouse.move(*middle)
    visit.page.mouse.down()
    visit.page.mouse.move(
        middle[0] + 4000, middle[1] + 4000
    )  # the picture's corner stops at the window's
    visit.page.mouse.up()
    visit.wait_for_drawing()
    shot = Image.open(io.BytesIO(viewer.screenshot())).convert("RGB")
    assert shot.getpixel((4, 4)) == tuple(PALETTE[solve(photo)[0, 0]])
    visit.page.mouse.move(*middle)
    visit.page.mouse.wheel(0, 5000)
    expect(shown).to_have_text(fitted or "")


def test_a_download_in_each_format_has_the_api_s_bytes(
    visit: Visit, page_server: ServerThread, photo: NDArray[np.uint8]
) -> None:
    show(visit, photo)
    visit.set_opacity(30)
    shown = [name for name, output in OUTPUTS.items() if output.project is None]
    assert visit.page.locator("#formats label").count() == len(shown)
    for format in shown:
        label, file = LABELS_AND_FILES[format]
        visit.choose_format(label)
        options: dict[str, float] = {"alpha": 0.3} if format == "overlay" else {}
        answer = page_server.client.post(
            "/segment",
            params={"model": "solvable", "format": format, **options},
            files={"image": ("photo.png", png_bytes(photo))},
        )
        assert visit.download() == (file, answer.content)


def test_a_class_shown_alone_can_be_taken_alone(
    visit: Visit, page_server: ServerThread, photo: NDArray[np.uint8]
) -> None:
    show(visit, photo)
    visit.page.locator("#legend").get_by_role("button", name="blue").click()
    visit.page.get_by_label("Only blue").check()
    _, body = visit.download()
    assert body == page_server.segment(photo, model="solvable", classes="blue").content


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_curl_line_fetches_what_the_page_does(
    visit: Visit, page_server: ServerThread, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    name = """it's a "photo"; no, 2.png"""
    visit.drop(png_bytes(photo), name)
    visit.wait_for_classes()
    visit.choose_format("JSON")
    line = visit.page.locator("#curl").text_content()
    assert line is not None
    (tmp_path / name).write_bytes(png_bytes(photo))
    subprocess.run(line, shell=True, check=True, cwd=tmp_path, capture_output=True)
    (answer,) = tmp_path.glob("*.json")
    assert answer.read_bytes() == page_server.segment(photo, model="solvable", format="rle").content


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_curl_line_of_an_example_fetches_the_example_first(
    visit: Visit, tmp_path: Path
) -> None:
    visit.page.locator("#examples button").first.click()
    visit.wait_for_classes()
    line = visit.page.locator("#curl").text_content()
    assert line is not None
    subprocess.run(line, shell=True, check=True, cwd=tmp_path, capture_output=True)
    _, body = visit.download()
    (answer,) = tmp_path.iterdir()
    assert answer.read_bytes() == body


def test_a_corrupt_file_is_answered_with_the_api_s_sentence(
    visit: Visit, page_server: ServerThread, photo: NDArray[np.uint8], screenshots: Path
) -> None:
    body = png_bytes(photo)[:60]
    visit.drop(body, "broken.png")
    answer = page_server.client.post("/segment", files={"image": body}).json()
    expect(visit.page.locator("#fault-text")).to_have_text(answer["detail"])
    expect(visit.page.locator("#fault-title")).to_have_text(answer["title"])
    for nothing_to_offer in ("#retry", "#curl", "#classes", ".tools"):
        expect(visit.page.locator(nothing_to_offer)).to_be_hidden()
    visit.page.screenshot(path=screenshots / "error.png")
    assert "422" in visit.errors.pop()  # the browser's own line about the answer's status
    visit.page.get_by_role("button", name="Remove picture").click()
    expect(visit.page.locator("#welcome")).to_be_visible()


def test_a_photograph_after_a_corrupt_one_is_shown(visit: Visit, photo: NDArray[np.uint8]) -> None:
    visit.drop(b"no picture", "broken.png")
    expect(visit.page.locator("#fault")).to_be_visible()
    assert "415" in visit.errors.pop()
    show(visit, photo)
    visit.set_opacity(100)
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH), PALETTE[solve(photo)])
    visit.page.locator("#strip button").first.click()
    expect(visit.page.locator("#fault")).to_be_visible()


def test_a_server_that_does_not_answer_is_said_so_and_can_be_tried_again(
    visit: Visit, photo: NDArray[np.uint8]
) -> None:
    show(visit, photo)  # now all of the page is there
    visit.page.context.set_offline(True)
    visit.drop(png_bytes(photo))
    expect(visit.page.locator("#fault-text")).to_contain_text("The server did not answer.")
    assert "ERR_INTERNET_DISCONNECTED" in visit.errors.pop()
    visit.page.context.set_offline(False)
    visit.page.get_by_role("button", name="Try again").click()
    visit.wait_for_classes()


def test_another_model_segments_all_pictures_anew(visit: Visit, photo: NDArray[np.uint8]) -> None:
    show(visit, photo)
    visit.page.get_by_label("Model", exact=True).select_option("gray")
    expect(visit.page.locator("#answered-by")).to_have_text("gray/1")
    visit.wait_for_classes()
    assert set(visit.legend()) <= {"dark", "bright"}


def test_several_pictures_make_a_strip(visit: Visit) -> None:
    colors = {"red": (220, 9, 9), "green": (9, 220, 9), "blue": (9, 9, 220)}
    visit.choose(
        *(
            (f"{name}.png", png_bytes(np.full((HEIGHT, WIDTH, 3), color, np.uint8)))
            for name, color in colors.items()
        )
    )
    for name in colors:
        choose = visit.page.get_by_role("button", name=f"{name}.png, done")
        choose.click()
        visit.wait_for_classes()
        assert visit.legend() == {name: 100.0}
    visit.page.get_by_role("button", name="blue.png, done").press("Delete")
    visit.wait_for_classes()
    assert visit.legend() == {"green": 100.0}
    assert visit.page.locator("#strip li").count() == 2


def test_a_picture_the_browser_cannot_read_is_shown_as_the_server_reads_it(visit: Visit) -> None:
    blocks = np.full((HEIGHT, WIDTH, 3), (220, 9, 9), np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).save(file, "TIFF")
    visit.drop(file.getvalue(), "scan.tif", "image/tiff")
    visit.wait_for_classes()
    visit.set_opacity(0)
    assert np.abs(visit.seen(HEIGHT, WIDTH).astype(int) - blocks).max() <= 4  # it comes as a JPEG
    seen = "canvas => [...canvas.getContext('2d').getImageData(9, 9, 1, 1).data]"
    thumbnail = visit.page.locator("#strip canvas")
    assert thumbnail.evaluate(seen) == pytest.approx([220, 9, 9, 255], abs=6)


def test_what_is_said_of_a_picture_meanwhile_does_not_read_its_classes_twice(
    visit: Visit, photo: NDArray[np.uint8]
) -> None:
    visit.page.add_init_script(COUNT_TASKS)
    visit.open("/")
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "TIFF")
    visit.drop(file.getvalue(), "scan.tif", "image/tiff")  # its thumbnail comes after its classes
    visit.wait_for_classes()
    assert visit.page.evaluate("tasks.filter((task) => task === 'readMap').length") == 1


def test_a_picture_can_be_cancelled_and_asked_for_again(visit: Visit) -> None:
    visit.page.context.route("**/segment?*", lambda _route: None)  # not answered
    visit.drop(png_bytes(picture(4, 4)), "slow.png")
    visit.drop(png_bytes(picture(4, 4)), "slower.png")
    expect(visit.page.locator("#working-text")).to_have_text("Segmenting slower.png")
    visit.page.get_by_role("button", name="Cancel").click()
    expect(visit.page.locator("#fault-title")).to_have_text("Cancelled")
    expect(visit.page.get_by_role("button", name="Cancel")).to_be_hidden()
    visit.page.context.unroute_all(behavior="ignoreErrors")
    visit.page.get_by_role("button", name="Try again").click()
    visit.wait_for_classes()


def test_the_clock_of_a_picture_counts_its_seconds(visit: Visit) -> None:
    visit.page.clock.install()
    visit.open("/")
    visit.page.context.route("**/segment?*", lambda _route: None)  # never answered
    visit.drop(png_bytes(picture(4, 4)), "long.png")
    expect(visit.page.locator("#working-text")).to_have_text("Segmenting long.png")
    visit.page.clock.run_for(5000)
    expect(visit.page.locator("#working-text")).to_have_text("Segmenting long.png, 5 s")


def test_a_photograph_turned_by_its_exif_lies_right_under_its_classes(visit: Visit) -> None:
    upright = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    upright[:, : WIDTH // 2, 0] = upright[:, WIDTH // 2 :, 2] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to see it upright
    file = io.BytesIO()
    Image.fromarray(np.rot90(upright)).save(file, "JPEG", quality=95, subsampling=0, exif=exif)
    visit.drop(file.getvalue(), "phone.jpg", "image/jpeg")
    visit.wait_for_classes()
    visit.set_opacity(100)
    np.testing.assert_array_equal(visit.seen(HEIGHT, WIDTH), PALETTE[solve(upright)])
    visit.set_opacity(0)
    assert np.abs(visit.seen(HEIGHT, WIDTH)[:, 0].astype(int) - upright[:, 0]).max() < 20


def test_a_picture_added_before_there_is_a_model_is_segmented_once_there_is_one(
    browser: Browser, tmp_path: Path, photo: NDArray[np.uint8]
) -> None:
    store, workshop = tmp_path / "store", tmp_path / "workshop"
    store.mkdir()
    with serving(store, wait=False) as server, Visit.begin(browser, server.url) as visit:
        visit.open("/")
        expect(visit.page.locator("#notice")).to_contain_text("no models yet")
        visit.drop(png_bytes(photo))
        expect(visit.page.locator("#working")).to_have_text("Waiting for the model")
        save_solvable_model(workshop)
        (workshop / "solvable").rename(store / "solvable")
        visit.wait_for_classes()
        expect(visit.page.locator("#notice")).to_be_hidden()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("format", LABELS_AND_FILES)
@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo.mask.png", "photo"])
def test_the_curl_line_leaves_the_picture_that_it_sends_as_it_is(
    visit: Visit, photo: NDArray[np.uint8], tmp_path: Path, format: str, name: str
) -> None:
    visit.drop(png_bytes(photo), name)
    visit.wait_for_classes()
    visit.choose_format(LABELS_AND_FILES[format][0])
    line = visit.page.locator("#curl").text_content()
    assert line is not None
    (tmp_path / name).write_bytes(png_bytes(photo))
    subprocess.run(line, shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert (tmp_path / name).read_bytes() == png_bytes(photo)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_file_chooser_offers_every_type_that_is_read(visit: Visit) -> None:
    accepted = (visit.page.locator("#file").get_attribute("accept") or "").split(",")
    assert set(accepted) == {"image/*", *readable_suffixes()}


def test_of_a_stack_the_page_that_was_segmented_is_said(
    visit: Visit, photo: NDArray[np.uint8]
) -> None:
    stack = io.BytesIO()
    frames = [Image.fromarray(photo), Image.fromarray(photo[::-1])]
    frames[0].save(stack, "GIF", save_all=True, append_images=frames[1:])
    visit.drop(stack.getvalue(), "stack.gif")
    visit.wait_for_classes()
    expect(visit.page.locator("#answered-by")).to_have_text(
        "solvable/1, from page 1 of 2 of the file"
    )
    show(visit, photo)
    expect(visit.page.locator("#answered-by")).to_have_text("solvable/1")
