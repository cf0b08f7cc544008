import numpy as np
import pytest
from numpy.typing import NDArray

from models.training.boundary import BoundaryF1, boundary_f1


def halves(height: int, width: int, first_of_right: int) -> NDArray[np.uint8]:
    """Class 0 on the left, class 1 from column `first_of_right` on."""
    columns = np.arange(width) >= first_of_right
    return np.tile(columns, (height, 1)).astype(np.uint8)


def test_a_perfect_map_scores_one_and_absent_classes_none() -> None:
    mask = halves(8, 10, 4)
    scores = boundary_f1(mask, mask, 3)
    assert scores[:2].tolist() == [1.0, 1.0]
    assert np.isnan(scores[2])


@pytest.mark.parametrize(("shift", "expected"), [(2, 1.0), (3, 0.0)])
def test_a_boundary_counts_as_found_within_the_tolerance(shift: int, expected: float) -> None:
    """The diagonal of 120 × 160 is 200; 1.25 % of it are 2.5 pixels."""
    scores = boundary_f1(halves(120, 160, 50), halves(120, 160, 50 + shift), 2, tolerance=0.0125)
    assert scores.tolist() == [expected, expected]


def test_precision_and_recall_are_those_counted_by_hand() -> None:
    """Exact positions. The mask's class 1 is a column of 6 pixels; predicted are its upper 3, and a
    dot far away.

    Class 1: true boundary 6 pixels, of which 3 are found; predicted 3 + 1, of which 3 are found: P
    = 3/4, R = 1/2.
    """
    mask = np.zeros((6, 9), np.uint8)
    mask[:, 3] = 1
    class_map = np.zeros((6, 9), np.uint8)
    class_map[:3, 3] = 1
    class_map[4, 7] = 1
    assert boundary_f1(mask, class_map, 2, tolerance=0.0)[1] == pytest.approx(
        2 * 0.75 * 0.5 / (0.75 + 0.5)
    )


def test_void_has_no_boundaries_whatever_is_predicted_there() -> None:
    mask = halves(8, 12, 4)
    mask[:, 8:] = 255
    class_map = mask.copy()
    class_map[:, 8:] = 0
    class_map[2:5, 9:11] = 1
    assert boundary_f1(mask, class_map, 2).tolist() == [1.0, 1.0]


def test_a_missed_boundary_scores_zero_and_one_that_is_not_there_is_not_asked_for() -> None:
    mask, flat = halves(8, 10, 4), np.zeros((8, 10), np.uint8)
    assert boundary_f1(mask, flat, 2).tolist() == [0.0, 0.0]
    assert np.isnan(boundary_f1(flat, mask, 2)).all()


def test_images_are_averaged_and_those_without_a_boundary_left_out() -> None:
    mask, flat = halves(8, 10, 4), np.zeros((8, 10), np.uint8)
    score = BoundaryF1(2)
    assert np.isnan(score.score())
    for truth, predicted in ((mask, mask), (mask, flat), (flat, flat)):
        score.add(truth, predicted)
    assert score.score() == 0.5
