from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract.working_size import ScaleRequest
from models.data.reading import read_dataset
from models.training.evaluation import Predictor, by_probabilities
from models.training.robustness import (
    CONDITIONS,
    PLAIN,
    blurred,
    compressed,
    exposed,
    measure_robustness,
    noisy,
    robustness_rows,
)
from models.training.scaled import with_scale


def test_a_stop_doubles_the_light_and_not_the_value() -> None:
    gray = np.array([[[0], [55], [128], [255]]], np.uint8)
    assert exposed(1)(gray).ravel().tolist() == [0, 78, 176, 255]
    # In linear light 128 of sRGB is 0.2159; twice is 0.4317, which is 176 of 255.
    assert exposed(-1)(exposed(1)(gray)).ravel().tolist()[:3] == [0, 55, 128]
    assert exposed(2)(gray).ravel().tolist()[-2:] == [239, 255]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_any_channels_keep_their_form_and_are_spoilt_alike_each_time(
    channels: int,
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (21, 33, channels)).astype(np.uint8)
    for spoil in (blurred, noisy, compressed):
        once = spoil(picture)
        assert once.dtype == np.uint8
        assert once.shape == picture.shape
        assert (once != picture).any()
        np.testing.assert_array_equal(spoil(picture), once)
    assert blurred(picture).std() < picture.std() / 3
    flat = np.full((64, 64, channels), 128, np.uint8)
    assert np.std(noisy(flat)) == pytest.approx(12, rel=0.05)
    np.testing.assert_array_equal(blurred(flat), flat)


def test_each_condition_is_scored_on_what_it_makes_of_the_images(dataset_folder: Path) -> None:
    dataset = read_dataset(dataset_folder)
    seen: dict[float, list[tuple[int, ...]]] = {}

    def predictor_at(factor: float) -> Predictor:
        def probabilities(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            seen.setdefault(factor, []).append(images.shape)
            parts = np.stack([images[..., 0] < 128, images[..., 0] >= 128], axis=-1)
            return (parts * 0.8 + 0.1).astype(np.float32)

        return with_scale(
            by_probabilities(probabilities), None, ScaleRequest.parse("native"), factor
        )

    found = measure_robustness(predictor_at, dataset, "val", batch_size=1)
    assert list(found) == list(CONDITIONS)
    (first, *_) = dataset.split("val")
    height, width = first.read(3)[1].shape
    assert seen[1.0][0][1:3] == (height, width)
    assert seen[2.0][0][1:3] == (2 * height, 2 * width)
    assert seen[0.5][0][1:3] == (round(height / 2), round(width / 2))
    rows = robustness_rows(found)
    assert rows[0] == (PLAIN, f"{found[PLAIN]:.3f}", "")
    assert float(rows[-1][2]) == pytest.approx(found["+2 stops of light"] - found[PLAIN], abs=1e-3)
    assert robustness_rows({}) == []
