import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from models.data.examination import examine
from models.data.reading import read_dataset
from models.training.losses import LOSSES, SegmentationLoss, class_weights
from models.training.options import LossOptions, LossTerm
from models.training.schedules import WarmUpDecay
from tests.models.conftest import write_dataset

# Three pixels with a class and one void, two classes; p of class 0 and 1.
PROBABILITIES = np.array([[[[0.5, 0.5], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7]]]], np.float32)
MASKS = np.array([[[0, 1, 1, 255]]], np.uint8)


def loss_of(
    *terms: LossTerm, weights: tuple[float, float] = (1.0, 1.0), border: float | None = None
) -> float:
    loss = SegmentationLoss(LossOptions(terms=terms), weights)
    extra = None if border is None else np.full(MASKS.shape, border, np.float32)
    return float(loss(MASKS, np.log(PROBABILITIES), extra))


def test_cross_entropy_is_the_weighted_mean_over_pixels_with_a_class() -> None:
    # The first pixel at weight 1, the next two at weight 3, the last is void.
    expected = (-np.log(0.5) * 1 - np.log(0.2) * 3 - np.log(0.9) * 3) / 7
    found = loss_of(LossTerm(name="cross_entropy"), weights=(1.0, 3.0))
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_border_map_is_added_to_the_class_weights() -> None:
    expected = (-np.log(0.5) * 3 - np.log(0.2) * 5 - np.log(0.9) * 5) / 13
    found = loss_of(LossTerm(name="cross_entropy"), weights=(1.0, 3.0), border=2.0)
    assert found == pytest.approx(expected, rel=1e-5)


def test_focal_takes_less_of_what_is_known_already() -> None:
    expected = -(0.5**2 * np.log(0.5) + 0.8**2 * np.log(0.2) + 0.1**2 * np.log(0.9)) / 3
    assert loss_of(LossTerm(name="focal", gamma=2.0)) == pytest.approx(expected, rel=1e-5)


def test_dice_is_the_mean_over_classes() -> None:
    first = 1 - 2 * 0.5 / ((0.5**2 + 0.8**2 + 0.1**2) + 1)
    second = 1 - 2 * (0.2 + 0.9) / ((0.5**2 + 0.2**2 + 0.9**2) + 2)
    expected = (first + second) / 2
    assert loss_of(LossTerm(name="dice")) == pytest.approx(expected, rel=1e-5)


def test_tversky_weighs_false_positives_and_misses() -> None:
    first = 1 - 0.5 / (0.5 + 0.3 * (0.8 + 0.1) + 0.7 * 0.5)
    second = 1 - 1.1 / (1.1 + 0.3 * 0.5 + 0.7 * (0.8 + 0.1))
    found = loss_of(LossTerm(name="tversky", alpha=0.3, beta=0.7))
    assert found == pytest.approx((first + second) / 2, rel=1e-5)


def test_lovasz_weighs_each_error_by_what_it_costs_in_iou() -> None:
    """Class 0: errors 0.8, 0.5, 0.1 of pixels 1, 0, 2; the IoU falls from 1 to 1/2, 0, 0. Class 1,
    of two pixels: the same errors; the IoU falls from 1 to 1/2 (a miss), 1/3 (a false positive), 0
    (a miss)."""
    first = 0.8 * (1 / 2) + 0.5 * (1 / 2)
    second = 0.8 * (1 / 2) + 0.5 * (1 / 6) + 0.1 * (1 / 3)
    found = loss_of(LossTerm(name="lovasz_softmax"))
    assert found == pytest.approx((first + second) / 2, rel=1e-5)


def test_lovasz_by_levels_is_lovasz_by_sorting() -> None:
    draw = np.random.default_rng(2)
    labels = draw.choice(3, 3000, p=(0.7, 0.25, 0.05))
    drawn = draw.normal(size=(1, 1, 3000, 3)) + 2 * np.eye(3)[labels]
    logits = tf.Variable(drawn.astype(np.float32))
    loss = SegmentationLoss(LossOptions(terms=(LossTerm(name="lovasz_softmax"),)), [1.0] * 3)
    with tf.GradientTape() as tape:
        value = loss(labels[np.newaxis, np.newaxis].astype(np.uint8), logits)
    with tf.GradientTape() as sorted_tape:
        probabilities = tf.nn.softmax(logits[0, 0])
        expected = tf.add_n([_by_sorting(probabilities[:, c], labels == c) for c in range(3)]) / 3
    assert float(value) == pytest.approx(float(expected), rel=1e-3)
    found, wanted = (
        np.asarray(t.gradient(v, logits)).ravel()
        for t, v in ((tape, value), (sorted_tape, expected))
    )
    likeness = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
    assert likeness > 0.999


def _by_sorting(probability: tf.Tensor, truth: NDArray[np.bool_]) -> tf.Tensor:
    """Algorithm 1 of Berman et al. 2018, for one class."""
    errors = tf.abs(truth.astype(np.float32) - probability)
    order = np.argsort(-np.asarray(errors))
    hits = truth.sum() - np.cumsum(truth[order])
    jaccard = 1 - hits / (truth.sum() + np.cumsum(~truth[order]))
    shares = np.diff(jaccard, prepend=0).astype(np.float32)
    return tf.reduce_sum(tf.gather(errors, order) * shares)


def outline_loss(predicted: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    """Of a network that is sure of `predicted` (H, W), two classes."""
    loss = SegmentationLoss(LossOptions(terms=(LossTerm(name="boundary_f1"),)), [1.0, 1.0])
    logits = 40 * np.eye(2, dtype=np.float32)[predicted]
    return float(loss(mask[np.newaxis], logits[np.newaxis]))


def test_an_outline_is_hit_within_two_pixels() -> None:
    def halves(middle: int) -> NDArray[np.uint8]:
        return np.tile((np.arange(24) >= middle).astype(np.uint8), (24, 1))

    costs = [outline_loss(halves(12 + shift), halves(12)) for shift in (0, 2, -2, 3, 8)]
    assert costs == pytest.approx([0, 0, 0, 1, 1], abs=1e-6)


def test_no_outline_lies_beside_void() -> None:
    mask = np.zeros((8, 16), np.uint8)
    mask[:, 8:] = 255
    known = np.where(mask == 255, np.uint8(1), mask)
    assert outline_loss(known, mask) == 0
    mask[2:5, 2:5] = known[2:5, 2:5] = 1
    assert outline_loss(known, mask) == pytest.approx(0, abs=1e-6)


def test_terms_are_summed_by_their_weights() -> None:
    apart = loss_of(LossTerm(name="cross_entropy")), loss_of(LossTerm(name="dice"))
    found = loss_of(LossTerm(name="cross_entropy"), LossTerm(name="dice", weight=0.5))
    assert found == pytest.approx(apart[0] + 0.5 * apart[1], rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
class TestEveryLoss:
    def gradient(self, name: str, masks: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32]]:
        loss = SegmentationLoss(LossOptions(terms=(LossTerm(name=name),)), [1.0, 2.0, 1.0])
        draw = np.random.default_rng(0)
        logits = tf.Variable(draw.normal(size=(*masks.shape, 3)).astype(np.float32))
        with tf.GradientTape() as tape:
            value = loss(masks, logits)
        return float(value), np.asarray(tape.gradient(value, logits))

    def test_void_pixels_cost_and_teach_nothing(self, name: str) -> None:
        masks = np.array([[[0, 255, 1], [1, 0, 200]]], np.uint8)
        _, gradient = self.gradient(name, masks)
        assert (gradient[masks >= 3] == 0).all()
        assert (np.abs(gradient[masks < 3]).sum(axis=-1) > 0).all()
        # What the network says at a void pixel changes nothing either.
        loss = SegmentationLoss(LossOptions(terms=(LossTerm(name=name),)), [1.0, 2.0, 1.0])
        logits = np.zeros((*masks.shape, 3), np.float32)
        logits[masks < 3] = np.random.default_rng(1).normal(size=(4, 3))
        elsewhere = np.where(masks[..., np.newaxis] >= 3, np.float32(7), logits)
        assert float(loss(masks, logits)) == pytest.approx(float(loss(masks, elsewhere)), rel=1e-6)

    def test_a_mask_of_nothing_but_void_costs_nothing(self, name: str) -> None:
        value, gradient = self.gradient(name, np.full((1, 2, 2), 255, np.uint8))
        assert value == 0.0
        assert (gradient == 0).all()

    def test_a_sure_right_answer_costs_next_to_nothing(self, name: str) -> None:
        loss = SegmentationLoss(LossOptions(terms=(LossTerm(name=name),)), [1.0, 1.0, 1.0])
        masks = np.array([[[0, 1, 1, 255]]], np.uint8)  # class 2 does not occur
        logits = 40 * np.eye(3, dtype=np.float32)[np.minimum(masks, 2)]
        assert float(loss(masks, logits)) == pytest.approx(0, abs=1e-6)
        assert float(loss(masks, -logits)) > 0.3


def test_inverse_log_weights_are_those_of_the_paper() -> None:
    weights = class_weights("inverse_log", np.array([90, 10, 0]))
    expected = [1 / np.log(2.0), 1 / np.log(1.2), 1 / np.log(1.1)]
    np.testing.assert_allclose(weights, expected)


def test_a_median_frequency_is_a_share_of_the_images_that_hold_the_class(tmp_path: Path) -> None:
    """Two images of 100 pixels, the third class in the second alone: frequencies 140/200, 50/200,
    10/100. A fourth is in none, and a void row counts nowhere."""
    folder = write_dataset(tmp_path / "data", {"train": 2, "val": 1})
    document = json.loads((folder / "classes.json").read_text())
    document["classes"].append({"id": 3, "name": "green", "color": "#43a047"})
    (folder / "classes.json").write_text(json.dumps(document))
    for number, counts in enumerate([(70, 30, 0, 0, 10), (70, 20, 10, 0, 10)]):
        mask = np.repeat(np.array([0, 1, 2, 3, 255], np.uint8), counts).reshape(11, 10)
        for part, pixels in (("masks", mask), ("images", mask[..., np.newaxis].repeat(3, -1))):
            Image.fromarray(pixels).save(folder / part / "train" / f"{number}.png")
    examination = examine(read_dataset(folder), ("train",))
    weights = class_weights(
        "median_frequency", examination.class_pixels("train"), examination.image_pixels("train")
    )
    assert weights == pytest.approx([0.25 / 0.7, 1, 2.5, 0])


def test_without_image_pixels_every_image_holds_every_class() -> None:
    weights = class_weights("median_frequency", np.array([60, 30, 10, 0]))
    assert weights == pytest.approx([0.5, 1, 3, 0])


def test_without_weighting_all_classes_weigh_one() -> None:
    assert class_weights("none", np.array([5, 0])) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("decay", "half_way"), [("cosine", 0.5), ("poly", 0.5**0.9), ("constant", 1.0)]
)
def test_the_rate_rises_linearly_and_then_falls(decay: str, half_way: float) -> None:
    rate = WarmUpDecay(2.0, steps=110, warmup_steps=10, decay=decay)  # type: ignore[arg-type]
    assert float(rate(4)) == pytest.approx(1.0)
    assert float(rate(10)) == pytest.approx(2.0)
    assert float(rate(60)) == pytest.approx(2.0 * half_way)
    assert float(rate(110)) == pytest.approx(2.0 if decay == "constant" else 0.0, abs=1e-6)
    of_release_0_1 = {"peak": 2.0, "steps": 110, "warm_up_steps": 10, "decay": decay}
    assert WarmUpDecay.from_config(of_release_0_1).get_config() == rate.get_config()


def test_a_term_counts_from_its_start() -> None:
    terms = (LossTerm(name="cross_entropy"), LossTerm(name="lovasz_softmax", start=0.5))
    done = tf.Variable(0.0)
    loss = SegmentationLoss(LossOptions(terms=terms), (1.0, 1.0), lambda: done)
    found = {}
    for share in (0.0, 0.49, 0.5, 0.9):
        done.assign(share)
        found[share] = float(loss(MASKS, np.log(PROBABILITIES)))
    early = loss_of(LossTerm(name="cross_entropy"))
    late = early + loss_of(LossTerm(name="lovasz_softmax"))
    assert found == pytest.approx({0.0: early, 0.49: early, 0.5: late, 0.9: late}, rel=1e-5)
