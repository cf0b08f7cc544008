import numpy as np
import pytest

from models.training.metrics import ConfusionMatrix


def matrix() -> ConfusionMatrix:
    confusion = ConfusionMatrix(3)
    mask = np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8)
    class_map = np.array([[0, 0, 1, 1], [1, 0, 0, 2]], np.uint8)
    confusion.add(mask, class_map)
    return confusion


def test_pixels_are_counted_by_true_and_predicted_class() -> None:
    assert matrix().counts.tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]


def test_the_scores_are_those_worked_out_by_hand() -> None:
    scores = matrix().scores()
    assert scores.pixel_accuracy == pytest.approx(4 / 6)
    assert scores.mean_accuracy == pytest.approx(2 / 3)
    assert scores.class_iou[:2] == pytest.approx([2 / 4, 2 / 4])
    assert scores.mean_iou == pytest.approx(0.5)
    assert scores.frequency_weighted_iou == pytest.approx(0.5)


def test_a_class_that_occurs_nowhere_is_left_out_of_the_means() -> None:
    assert np.isnan(matrix().scores().class_iou[2])


def test_a_class_that_is_predicted_but_not_there_has_iou_zero() -> None:
    confusion = ConfusionMatrix(2)
    confusion.add(np.zeros((1, 2), np.uint8), np.array([[0, 1]], np.uint8))
    assert confusion.scores().class_iou.tolist() == [0.5, 0.0]


def test_two_images_count_as_one() -> None:
    together, apart = ConfusionMatrix(3), ConfusionMatrix(3)
    draw = np.random.default_rng(0)
    mask = draw.integers(0, 4, (8, 9)).astype(np.uint8)
    class_map = draw.integers(0, 3, (8, 9)).astype(np.uint8)
    together.add(mask, class_map)
    apart.add(mask[:3], class_map[:3])
    apart.add(mask[3:], class_map[3:])
    np.testing.assert_array_equal(together.counts, apart.counts)
