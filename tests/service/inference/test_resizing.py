import numpy as np
import pytest

from service.inference import resizing
from service.inference.resizing import resized


def test_a_whole_factor_is_the_mean_of_each_area() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 48, 3), np.uint8)
    expected = pixels.reshape(10, 3, 16, 3, 3).mean(axis=(1, 3))
    found = resized(pixels, 10, 16, (30, 48))
    assert np.abs(found - expected).max() <= 1  # Pillow rounds after each direction


@pytest.mark.parametrize("size", [(7, 11), (29, 47), (90, 100)])
def test_bands_give_what_the_whole_gives(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (60, 70, 1), np.uint8)
    whole = resized(pixels, *size, (60, 70))
    monkeypatch.setattr(resizing, "_BAND_PIXELS", 200)
    in_bands = resized(pixels, *size, (60, 70)).astype(int)
    assert np.abs(in_bands - whole).max() <= 1


def test_the_last_column_counts_for_the_part_of_it_that_is_picture() -> None:
    """17 pixels decoded at an eighth are three, the last of which holds one of its eight."""
    pixels = np.array([[[0], [100], [200]]], np.uint8)
    assert resized(pixels, 1, 2, (1, 17 / 8))[0, :, 0].tolist() == [0, 100]


def test_a_picture_and_its_mirror_image_are_shrunk_alike() -> None:
    draw = np.random.default_rng(2)
    for side in range(20, 60):
        pixels = draw.integers(0, 256, (1, side, 1), np.uint8)
        one = resized(pixels, 1, 13, (1, side)).astype(int)
        other = resized(pixels[:, ::-1], 1, 13, (1, side))[:, ::-1]
        assert np.abs(one - other).max() <= 1
