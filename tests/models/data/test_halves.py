import numpy as np
import pytest

from models.data.halves import Halves, halves_of, parts_of


def test_each_half_is_counted_without_the_middle_and_without_what_is_ignored() -> None:
    mask = np.array([[0, 0, 1], [1, 1, 1], [1, 255, 7]], np.uint8)
    upper, lower, left, right = halves_of(parts_of(mask), 2).tolist()
    assert (upper, lower) == ([2, 1], [0, 1])
    assert (left, right) == ([1, 2], [0, 2])
    assert parts_of(mask).sum(axis=(0, 1)).tolist() == np.bincount(mask.ravel()).tolist()


def test_a_mask_of_one_row_has_no_halves() -> None:
    halves = Halves(2)
    halves.add(halves_of(parts_of(np.ones((1, 5), np.uint8)), 2))
    assert halves.up_down == 0


def test_halves_differ_over_all_pixels_and_t_is_over_pictures() -> None:
    halves, differences = Halves(3), []
    assert halves.up_down_t == 0
    for rows in (1, 2, 3, -1):
        mask = np.zeros((8, 6), np.uint8)
        mask[:rows] = 2
        halves.add(halves_of(parts_of(mask), 3))
        differences.append(float((mask[:4] == 2).mean() - (mask[4:] == 2).mean()))
    assert halves.up_down == pytest.approx(np.mean(differences))
    assert halves.left_right == 0
    expected = np.mean(differences) / (np.std(differences, ddof=1) / 2)
    assert halves.up_down_t == pytest.approx(expected)
