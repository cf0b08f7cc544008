import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.architectures.networks import is_encoder_layer
from models.training.deep_supervision import level_losses
from models.training.learner import Learner, begun_learner, resumed_learner
from models.training.losses import SegmentationLoss
from models.training.options import LossOptions
from models.training.recipe import Recipe, RecipeError
from models.training.run import LAST, Run, RunState

DRAW = np.random.default_rng(0)
IMAGES = tf.constant(DRAW.uniform(0, 255, (2, 32, 32, 3)), tf.float32)
MASKS = tf.cast(tf.argmax(IMAGES, axis=-1), tf.uint8)


@pytest.fixture(autouse=True)
def _eagerly() -> Iterator[None]:
    """Tracing these networks takes longer than the few steps they make here."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def recipe(**fields: Any) -> Recipe:
    network = {"width": 2, "upsampling": "bilinear", "dropout": 0.2}
    return Recipe.model_validate({"name": "small", "data": "unused", "network": network} | fields)


def begun(**fields: Any) -> Learner:
    keras.utils.set_random_seed(1)
    return begun_learner(recipe(**fields), 3, [1.0, 1.0, 1.0], steps=20)


def test_two_devices_do_what_one_does() -> None:
    script = [sys.executable, "-m", "tests.models.training.two_devices"]
    done = subprocess.run(script, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 2
    assert found["moved"] > 1e-3
    assert found["difference"] < 1e-6
    assert found["copies"] == 0.0
    assert np.isfinite(found["usual_loss"])
    assert found["stopped_at"] == 1  # of the second epoch
    assert found["broken_difference"] == 0.0


def test_a_frozen_encoder_stays_and_the_decoder_learns() -> None:
    learner = begun()
    encoder = [layer for layer in learner.network.layers if is_encoder_layer(layer)]
    decoder = [layer for layer in learner.network.layers if layer.name.startswith("up")]

    def moved(layers: list[keras.layers.Layer]) -> bool:
        before = [weight for layer in layers for weight in layer.get_weights()]
        learner.step((IMAGES, MASKS))
        after = [weight for layer in layers for weight in layer.get_weights()]
        return any((a != b).any() for a, b in zip(before, after, strict=True))

    learner.freeze_encoder(True)
    assert not moved(encoder)
    assert moved(decoder)
    learner.freeze_encoder(False)
    assert moved(encoder)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_encoder_learns_at_its_share_of_the_rate(name: str) -> None:
    """From one start and one batch: the first step of the encoder is a quarter as long, the decoder's the same."""
    ways = []
    for rate in (1.0, 0.25):
        learner = begun(optimizer={"name": name, "warm_up_steps": 0, "encoder_rate": rate})
        layers = [layer for layer in learner.network.layers if layer.trainable_weights]
        before = [[np.asarray(w) for w in layer.trainable_weights] for layer in layers]
        learner.step((IMAGES, MASKS))
        ways.append(
            {
                layer.name: np.asarray(layer.trainable_weights[0]) - old[0]
                for layer, old in zip(layers, before, strict=True)
            }
        )
    for layer in layers:
        share = 0.25 if is_encoder_layer(layer) else 1.0
        whole, shortened = (way[layer.name] for way in ways)
        np.testing.assert_allclose(shortened, whole * share, rtol=1e-3, atol=1e-7)


def test_the_gradient_is_clipped_to_its_global_norm() -> None:
    optimizer = {
        "name": "sgd",
        "learning_rate": 1.0,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "decay": "constant",
        "warm_up_steps": 0,
    }
    for clip_norm in (0.01, 0.02):
        learner = begun(optimizer=optimizer | {"clip_norm": clip_norm})
        before = [np.asarray(v) for v in learner.network.trainable_variables]
        learner.step((IMAGES, MASKS))
        after = [np.asarray(v) for v in learner.network.trainable_variables]
        way = np.sqrt(sum(np.sum((b - a) ** 2) for a, b in zip(before, after, strict=True)))
        assert way == pytest.approx(clip_norm, rel=1e-3)


def test_the_kept_weights_are_the_running_average() -> None:
    learner = begun(average=0.5)
    expected = learner.network.get_weights()
    for step in range(1, 4):
        learner.step((IMAGES, MASKS))
        decay = min(0.5, (1 + step) / (10 + step))
        expected = [
            a * decay + w * (1 - decay)
            for a, w in zip(expected, learner.network.get_weights(), strict=True)
        ]
    for found, average in zip(learner.kept.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_keeps_float32(precision: str) -> None:
    optimizer = {"warm_up_steps": 0, "learning_rate": 1e-2}
    learner = begun(precision=precision, optimizer=optimizer, network={"width": 2})
    losses = [learner.step((IMAGES, MASKS)) for _ in range(4)]
    assert losses[-1] < losses[0]
    assert learner.network.get_layer("down0_1_conv").compute_dtype == precision
    assert {layer.compute_dtype for layer in learner.kept.layers} == {"float32"}
    for kept, weight in zip(learner.kept.weights, learner.network.weights, strict=True):
        np.testing.assert_array_equal(kept, weight)
    assert keras.config.dtype_policy().name == "float32"


def test_deep_supervision_is_of_the_training_alone() -> None:
    learner = begun(deep_supervision=True)
    assert len(learner.network.outputs) == 4  # strides 1, 2, 4 and 8
    head = learner.network.get_layer("auxiliary_8")
    before = head.get_weights()[0]
    assert np.isfinite(learner.step((IMAGES, MASKS)))
    assert (head.get_weights()[0] != before).any()
    assert learner.kept(IMAGES, training=False).shape == (2, 32, 32, 3)
    assert not any("auxiliary" in layer.name for layer in learner.kept.layers)


@pytest.mark.parametrize(
    "network",
    [{"name": "fcn32s"}, {"padding": "valid"}],
    ids=["no levels", "levels without borders"],
)
def test_deep_supervision_wants_levels_as_large_as_the_image(network: dict[str, str]) -> None:
    with pytest.raises(RecipeError, match="deep_supervision needs a decoder with levels"):
        begun(deep_supervision=True, network={"width": 1} | network)


def test_each_level_weighs_half_of_the_next_finer_one() -> None:
    loss = SegmentationLoss(LossOptions(), [1.0, 1.0])
    masks = np.zeros((1, 4, 6), np.uint8)
    masks[:, 1::2, 1::2] = 1  # what a level of stride 2 sees
    fine, coarse = np.zeros((1, 4, 6, 2), np.float32), np.zeros((1, 2, 3, 2), np.float32)
    coarse[..., 1] = np.log(3)  # p of class 1 is 3/4
    expected = (np.log(2) + 0.5 * np.log(4 / 3)) / 1.5
    found = level_losses(loss, [fine, coarse], [1, 2], tf.constant(masks), None)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_batch_that_is_not_finite_is_told() -> None:
    assert np.isnan(begun().step((IMAGES * float("inf"), MASKS)))


@pytest.mark.parametrize(
    "fields",
    [
        {"average": 0.9, "frozen_encoder_epochs": 1, "optimizer": {"name": "sgd"}},
        {"precision": "float16", "deep_supervision": True},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_resumed_learner_is_the_one_that_was_kept(fields: dict[str, Any], tmp_path: Path) -> None:
    run = Run.begin(tmp_path, recipe(**fields))
    learner = begun(**fields)
    learner.freeze_encoder("frozen_encoder_epochs" in fields)
    learner.step((IMAGES, MASKS))
    with learner.thawed():
        run.save_last(learner.network, RunState(steps_done=1), learner.arrays())
    resumed = resumed_learner(tmp_path / LAST, run.recipe, [1.0, 1.0, 1.0], steps=20)
    assert run.state.steps_done == 1
    for one in (learner, resumed):
        one.freeze_encoder(False)
        one.step((IMAGES, MASKS))
    for network in ("network", "kept"):
        pair = (getattr(one, network).get_weights() for one in (learner, resumed))
        for first, second in zip(*pair, strict=True):
            np.testing.assert_array_equal(first, second)
