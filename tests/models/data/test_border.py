import numpy as np
import pytest

from models.data.border import border_weights


def test_background_between_two_objects_weighs_as_the_paper_says() -> None:
    mask = np.zeros((5, 21), np.uint8)
    mask[:, :8], mask[:, 12:] = 1, 1
    weights = border_weights(mask, background=0, void=2, peak=10.0, sigma=5.0)
    # Between columns 7 and 12 the two distances add up to 5 everywhere.
    assert weights[2, 8:12] == pytest.approx(10 * np.exp(-(5**2) / (2 * 5**2)), rel=1e-5)
    assert (weights[mask == 1] == 0).all()


def test_a_single_object_and_void_have_no_border() -> None:
    mask = np.zeros((30, 30), np.uint8)
    mask[10:20, 10:20] = 1
    mask[:, 25:] = 255  # void is no object
    assert (border_weights(mask, background=0, void=2, peak=10.0, sigma=5.0) == 0).all()


def test_the_weights_are_those_of_distances_over_the_whole_mask() -> None:
    """Against the formula spelt out, for objects that touch no window's edge alone."""
    draw = np.random.default_rng(3)
    mask = np.zeros((60, 70), np.uint8)
    for _ in range(8):
        top, left = draw.integers(0, 52), draw.integers(0, 62)
        mask[top : top + 6, left : left + 5] = draw.integers(1, 3)
    from scipy import ndimage

    distances = []
    for class_id in (1, 2):
        labels, count = ndimage.label(mask == class_id, np.ones((3, 3)))
        distances += [ndimage.distance_transform_edt(labels != i + 1) for i in range(count)]
    first, second = np.sort(distances, axis=0)[:2]
    expected = np.where(mask == 0, 10 * np.exp(-((first + second) ** 2) / (2 * 3.0**2)), 0)
    found = border_weights(mask, background=0, void=3, peak=10.0, sigma=3.0)
    np.testing.assert_allclose(found, expected, atol=10 * np.exp(-(4**2) / 2))
