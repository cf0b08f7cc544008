import numpy as np
import pytest
import tensorflow as tf

from models.training.losses import WeightedCrossEntropy, class_weights
from models.training.schedules import WarmUpDecay


def test_the_loss_is_the_weighted_mean_over_pixels_with_a_class() -> None:
    logits = np.log(np.array([[[[0.5, 0.5], [0.8, 0.2], [0.1, 0.9]]]], np.float32))
    masks = np.array([[[0, 1, 255]]], np.uint8)
    # By hand: pixel 0 costs -ln 0.5 at weight 1, pixel 1 costs -ln 0.2 at weight 3, pixel 2 is void.
    expected = (-np.log(0.5) * 1 - np.log(0.2) * 3) / 4
    loss = WeightedCrossEntropy([1.0, 3.0])(masks, logits)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_void_pixels_have_no_gradient() -> None:
    logits = tf.Variable(np.random.default_rng(0).normal(size=(1, 1, 3, 2)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = WeightedCrossEntropy([1.0, 1.0])(np.array([[[0, 255, 1]]], np.uint8), logits)
    gradient = np.asarray(tape.gradient(loss, logits))
    assert (gradient[0, 0, 1] == 0).all()
    assert (gradient[0, 0, [0, 2]] != 0).all()


def test_a_mask_of_nothing_but_void_costs_nothing() -> None:
    masks, logits = np.full((1, 2, 2), 255, np.uint8), np.zeros((1, 2, 2, 2), np.float32)
    assert float(WeightedCrossEntropy([1.0, 1.0])(masks, logits)) == 0.0


def test_inverse_log_weights_are_those_of_the_paper() -> None:
    weights = class_weights("inverse_log", np.array([90, 10, 0]))
    expected = [1 / np.log(2.0), 1 / np.log(1.2), 1 / np.log(1.1)]
    np.testing.assert_allclose(weights, expected)


def test_median_frequency_weights_leave_out_classes_that_do_not_occur() -> None:
    assert class_weights("median_frequency", np.array([60, 30, 10, 0])) == pytest.approx(
        [0.5, 1, 3, 0]
    )


def test_without_weighting_all_classes_weigh_one() -> None:
    assert class_weights("none", np.array([5, 0])) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("decay", "half_way"), [("cosine", 0.5), ("poly", 0.5**0.9), ("constant", 1.0)]
)
def test_the_rate_rises_linearly_and_then_falls(decay: str, half_way: float) -> None:
    rate = WarmUpDecay(2.0, steps=110, warm_up_steps=10, decay=decay)  # type: ignore[arg-type]
    assert float(rate(4)) == pytest.approx(1.0)
    assert float(rate(10)) == pytest.approx(2.0)
    assert float(rate(60)) == pytest.approx(2.0 * half_way)
    assert float(rate(110)) == pytest.approx(2.0 if decay == "constant" else 0.0, abs=1e-6)
