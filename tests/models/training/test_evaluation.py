import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.reading import read_dataset
from models.training.calibration import BINS, Calibration
from models.training.charts import WIDTH, Line, line_chart
from models.training.evaluation import Predictor, eval_batches, with_flip, with_sliding_window


def by_channel(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities in proportion to the colour channels: each pixel for itself."""
    parts = images.astype(np.float32) + 1
    share: NDArray[np.float32] = parts / parts.sum(axis=-1, keepdims=True)
    return share


def by_column(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Two classes; the further right in what is shown, the surer of the second."""
    second = np.broadcast_to(np.linspace(0, 1, images.shape[2]), images.shape[:3])
    return np.stack([1 - second, second], axis=-1).astype(np.float32)


def predictor_of(probabilities) -> Predictor:  # type: ignore[no-untyped-def]
    return Predictor(
        lambda images: probabilities(images).argmax(axis=-1).astype(np.uint8), probabilities
    )


IMAGES = np.random.default_rng(0).integers(0, 256, (2, 37, 50, 3)).astype(np.uint8)


def test_flips_average_an_image_and_its_mirror_image() -> None:
    np.testing.assert_allclose(with_flip(predictor_of(by_column)).probabilities(IMAGES), 0.5)
    pixelwise = with_flip(predictor_of(by_channel))
    np.testing.assert_allclose(pixelwise.probabilities(IMAGES), by_channel(IMAGES), rtol=1e-5)


@pytest.mark.parametrize("window", [(16, 16), (17, 64), (64, 64), (1, 1)])
def test_windows_cover_every_pixel_and_change_nothing_that_is_pixelwise(
    window: tuple[int, int],
) -> None:
    slid = with_sliding_window(predictor_of(by_channel), window)
    np.testing.assert_allclose(slid.probabilities(IMAGES), by_channel(IMAGES), rtol=1e-4)
    np.testing.assert_array_equal(slid.class_maps(IMAGES), by_channel(IMAGES).argmax(axis=-1))


def test_where_windows_overlap_the_one_whose_middle_is_nearer_counts_more() -> None:
    slid = with_sliding_window(predictor_of(by_column), (37, 20)).probabilities(IMAGES)[0, 0, :, 1]
    # Column 10 lies in the middle of the second window and at the border of none; column 20
    # likewise of the third.
    np.testing.assert_allclose(slid[[10, 20]], np.linspace(0, 1, 20)[[10, 10]], atol=0.03)


def test_neighbors_of_one_size_are_shown_together(dataset_folder: Path) -> None:
    dataset = read_dataset(dataset_folder)  # heights 40, 41, 42 in turn
    batches = list(eval_batches(dataset, "train", batch_size=2))
    assert [len(shown.images) for shown in batches] == [1] * 8
    shown = [sample for batch in batches for sample in batch.samples]
    assert tuple(shown) == dataset.split("train")
    assert all(batch.images.shape[:3] == batch.masks.shape for batch in batches)


def test_the_calibration_error_is_the_mean_gap_over_pixels() -> None:
    calibration = Calibration(2)
    # Four pixels at 0.9, of which two are right; one at 0.6, right; one void.
    first = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.9], np.float32)
    masks = np.array([0, 0, 1, 1, 0, 255], np.uint8)
    probabilities = np.stack([first, 1 - first], axis=-1)
    calibration.add(masks[np.newaxis, np.newaxis], probabilities[np.newaxis, np.newaxis])
    assert calibration.error == pytest.approx((4 * 0.4 + 1 * 0.4) / 5, rel=1e-5)
    assert calibration.pixels.sum() == 5
    filled = np.flatnonzero(calibration.pixels)
    assert filled.tolist() == [int(np.ceil(0.6 * BINS)) - 1, int(np.ceil(0.9 * BINS)) - 1]
    np.testing.assert_allclose(calibration.accuracy[filled], [1.0, 0.5])
    np.testing.assert_allclose(calibration.confidence[filled], [0.6, 0.9], rtol=1e-6)


@pytest.mark.parametrize("last", [1, 60, 900, 10_000])
def test_every_label_of_an_axis_is_whole(last: int) -> None:
    chart = line_chart([Line("loss", [(0, 0.00025), (last, 0.0)])], "epoch")
    labels = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="(\w+)">([^<]+)', chart)
    assert len(labels) > 8
    for x, anchor, text in labels:
        width = 7 * len(text)  # of digits at 12 pixels
        start = float(x) - {"middle": width / 2, "end": width}[anchor]
        assert 0 <= start < start + width <= WIDTH


def test_a_chart_draws_its_lines_and_escapes_their_names() -> None:
    chart = line_chart([Line("a<b", [(1, 0.5), (2, float("nan")), (3, 0.25)])], "epoch")
    assert "a&lt;b" in chart
    assert "a<b" not in chart
    assert chart.count("<circle") == 2
    assert "No finite values" in line_chart([Line("loss", [(1, float("nan"))])], "epoch")
    flat = line_chart([Line("loss", [(1, 2.0)])], "epoch")  # one point spans no axis
    assert "nan" not in flat
