"""Label Studio's predictions, read back: brushes by the trainer's reader, which reads what Label
Studio and its SDK write."""

import base64
import io
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.data.layouts.labelstudio_brush import decode_bitmask, decode_brush
from service.domain.errors import AnswerTooLargeError
from service.domain.segmentation import Segmentation
from service.outputs import brush
from service.outputs.brush import encode_brush
from service.outputs.labelstudio import PREDICTION, Control, Kind, PredictionOptions
from service.outputs.outlines import without_holes
from tests.service.outputs.maps import make_model

# From label-studio-sdk 2.1.2: mask2rle of a mask of 2 × 1 pixels, the first of them set; and of one
# of 64 × 48 whose lower half is.
SDK = {
    (1, 2): [0, 0, 0, 8, 57, 27, 252, 127, 241, 128, 0],
    (48, 64): [0, 0, 48, 0, 57, 27, 255, 23, 255, 0, 226, 255, 255, 224],
}


def test_what_the_sdk_writes_is_read_and_is_what_we_write() -> None:
    half = np.zeros((48, 64), np.bool_)
    half[24:] = True
    assert np.array_equal(decode_brush(SDK[48, 64], (64, 48)), half)
    assert decode_brush(SDK[1, 2], (2, 1)).tolist() == [[True, False]]
    ours = encode_brush(half).tolist()
    assert ours == SDK[48, 64][: len(ours)]


@pytest.mark.parametrize("seed", range(12))
def test_a_brush_read_back_is_the_mask(seed: int) -> None:
    draw = np.random.default_rng(seed)
    height, width = draw.integers(1, 80, 2).tolist()
    mask = draw.random((height, width)) < seed / 11
    rle = encode_brush(mask).tolist()
    assert np.array_equal(decode_brush(rle, (width, height)), mask)


def test_long_runs_are_written_in_pieces() -> None:
    mask = np.ones((700, 700), np.bool_)
    mask[350, 350] = False
    assert np.array_equal(decode_brush(encode_brush(mask).tolist(), (700, 700)), mask)


def test_masks_of_too_many_runs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brush, "MAX_RUNS", 10)
    with pytest.raises(AnswerTooLargeError, match="57 runs"):
        encode_brush(np.indices((8, 8)).sum(0) % 2 == 1)


def predicted(class_map: NDArray[np.uint8], kind: Kind) -> dict[str, Any]:
    """The prediction of a map of three classes, of which the first has no label."""
    control = Control(kind, "tag", "image", {"One": frozenset({1}), "Two": frozenset({2})})
    confidence = np.where(class_map == 1, 204, 255).astype(np.uint8)
    segmentation = Segmentation(make_model(3, background=0), class_map, confidence)
    answer = PREDICTION.write(segmentation, PredictionOptions(control=control))
    prediction: dict[str, Any] = orjson.loads(answer.body)
    return prediction


def scene() -> NDArray[np.uint8]:
    """A ring of class 1 with class 2 in a part of its hole, and a speck of class 2."""
    class_map = np.zeros((40, 60), np.uint8)
    class_map[5:35, 5:35] = 1
    class_map[12:28, 12:28] = 0
    class_map[16:24, 16:24] = 2
    class_map[1, 50] = 2
    return class_map


def test_a_brush_is_one_region_a_label_with_its_score() -> None:
    class_map = scene()
    prediction = predicted(class_map, "brushlabels")
    assert [region["score"] for region in prediction["result"]] == [0.8, 1.0]
    assert prediction["score"] == pytest.approx(np.where(class_map == 1, 0.8, 1).mean(), abs=1e-3)
    for number, region in enumerate(prediction["result"], start=1):
        assert region["value"]["brushlabels"] == [["One", "Two"][number - 1]]
        assert (region["original_width"], region["original_height"]) == (60, 40)
        rle = region["value"]["rle"]
        assert np.array_equal(decode_brush(rle, (60, 40)), class_map == number)


def test_a_bitmask_is_the_mask_as_a_png() -> None:
    class_map = scene()
    regions = predicted(class_map, "bitmasklabels")["result"]
    for number, region in enumerate(regions, start=1):
        url = region["value"]["imageDataURL"]
        assert np.array_equal(decode_bitmask(url, (60, 40)), class_map == number)


def test_polygons_keep_their_holes_and_leave_specks_out() -> None:
    class_map = scene()
    class_map[1, 50] = 0
    drawn = np.zeros_like(class_map)
    for region in predicted(scene(), "polygonlabels")["result"]:
        points = np.array(region["value"]["points"]) * (60, 40) / 100
        inside = even_odd(points, 60, 40)
        drawn[inside] = ["One", "Two"].index(region["value"]["polygonlabels"][0]) + 1
    assert np.array_equal(drawn, class_map)


def even_odd(corners: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """Pixels around whose centers a ring runs an odd number of times, one by one."""
    inside = np.zeros((height, width), np.bool_)
    for row in range(height):
        y = row + 0.5
        crossings = sorted(
            x0 + (y - y0) / (y1 - y0) * (x1 - x0)
            for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True)
            if (y0 <= y) != (y1 <= y)
        )
        for left, right in zip(crossings[::2], crossings[1::2], strict=True):
            columns = np.arange(width) + 0.5
            inside[row] ^= (columns >= left) & (columns < right)
    return inside


def test_rectangles_are_the_boxes_of_regions() -> None:
    first, second = predicted(scene(), "rectanglelabels")["result"]
    assert first["value"] == {
        "x": pytest.approx(100 * 5 / 60),
        "y": 12.5,
        "width": 50.0,
        "height": 75.0,
        "rotation": 0,
        "rectanglelabels": ["One"],
    }
    assert second["value"]["rectanglelabels"] == ["Two"]


def test_a_picture_without_a_labeled_class_has_no_regions() -> None:
    for kind in ("brushlabels", "bitmasklabels", "polygonlabels", "rectanglelabels"):
        assert predicted(np.zeros((4, 5), np.uint8), kind)["result"] == []


def test_a_seam_leads_to_every_hole() -> None:
    outline = np.array([(0, 0), (0, 20), (20, 20), (20, 0), (0, 0)])
    holes = [np.array([(x, 5), (x + 4, 5), (x + 4, 9), (x, 9), (x, 5)]) for x in (3, 12)]
    inside = even_odd(without_holes([outline, *holes]), 20, 20)
    expected = np.ones((20, 20), np.bool_)
    expected[5:9, 3:7] = expected[5:9, 12:16] = False
    assert np.array_equal(inside, expected)


def test_the_png_of_a_bitmask_is_transparent_where_the_mask_is_not() -> None:
    url = predicted(scene(), "bitmasklabels")["result"][0]["value"]["imageDataURL"]
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as png:
        assert png.mode == "LA"
        assert png.getchannel("A").getextrema() == (0, 255)
        assert png.getchannel("L").getextrema() == (0, 0)
