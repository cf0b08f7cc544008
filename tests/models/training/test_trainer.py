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

from models.architectures.networks import OtherNetworkError
from models.training.deep_supervision import level_losses
from models.training.losses import SegmentationLoss
from models.training.options import LossOptions
from models.training.recipe import Recipe, RecipeError
from models.training.run import LAST, Run, RunState
from models.training.trainer import Trainer, new_trainer, restore_trainer

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


def begun(**fields: Any) -> Trainer:
    keras.utils.set_random_seed(1)
    return new_trainer(recipe(**fields), 3, [1.0, 1.0, 1.0], steps=20)


def on_two_devices(what: str) -> dict[str, float]:
    script = [sys.executable, "-m", "tests.models.training.two_devices", what]
    done = subprocess.run(script, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 2
    return found


def test_two_devices_do_what_one_does() -> None:
    found = on_two_devices("steps")
    assert found["moved"] > 1e-3
    assert found["difference"] < 1e-6
    assert found["copies"] == 0.0
    assert np.isfinite(found["usual_loss"])


def test_a_run_on_two_devices_that_is_stopped_ends_as_if_it_had_not_been() -> None:
    found = on_two_devices("runs")
    assert found["stopped_at"] == 1  # of the second epoch
    assert found["broken_difference"] == 0.0


def test_a_frozen_encoder_stays_and_the_decoder_learns() -> None:
    trainer = begun()
    encoder = trainer.network.encoder()
    decoder = [layer for layer in trainer.network.model.layers if layer.name.startswith("up")]

    def moved(layers: list[keras.layers.Layer]) -> bool:
        before = [weight for layer in layers for weight in layer.get_weights()]
        trainer.step((IMAGES, MASKS))
        after = [weight for layer in layers for weight in layer.get_weights()]
        return any((a != b).any() for a, b in zip(before, after, strict=True))

    trainer.freeze_encoder(True)
    assert not moved(encoder)
    assert moved(decoder)
    trainer.freeze_encoder(False)
    assert moved(encoder)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_encoder_learns_at_its_share_of_the_rate(name: str) -> None:
    """From one start and one batch: the first step of the encoder is a quarter as long, the
    decoder's the same."""
    moves = []
    for rate in (1.0, 0.25):
        trainer = begun(optimizer={"name": name, "warmup_steps": 0, "encoder_lr_multiplier": rate})
        layers = [layer for layer in trainer.network.model.layers if layer.trainable_weights]
        before = [[np.asarray(w) for w in layer.trainable_weights] for layer in layers]
        trainer.step((IMAGES, MASKS))
        moves.append(
            {
                layer.name: np.asarray(layer.trainable_weights[0]) - old[0]
                for layer, old in zip(layers, before, strict=True)
            }
        )
    for layer in layers:
        share = 0.25 if layer.name in trainer.network.encoder_layers else 1.0
        whole, shortened = (move[layer.name] for move in moves)
        np.testing.assert_allclose(shortened, whole * share, rtol=1e-3, atol=1e-7)


def test_the_gradient_is_clipped_to_its_global_norm() -> None:
    optimizer = {
        "name": "sgd",
        "learning_rate": 1.0,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "decay": "constant",
        "warmup_steps": 0,
    }
    for clip_norm in (0.01, 0.02):
        trainer = begun(optimizer=optimizer | {"clip_norm": clip_norm})
        before = [np.asarray(v) for v in trainer.network.model.trainable_variables]
        trainer.step((IMAGES, MASKS))
        after = [np.asarray(v) for v in trainer.network.model.trainable_variables]
        way = np.sqrt(sum(np.sum((b - a) ** 2) for a, b in zip(before, after, strict=True)))
        assert way == pytest.approx(clip_norm, rel=1e-3)


def test_the_ema_model_has_the_running_average() -> None:
    trainer = begun(ema_decay=0.5)
    expected = trainer.network.model.get_weights()
    for step in range(1, 4):
        trainer.step((IMAGES, MASKS))
        decay = min(0.5, (1 + step) / (10 + step))
        expected = [
            a * decay + w * (1 - decay)
            for a, w in zip(expected, trainer.network.model.get_weights(), strict=True)
        ]
    for found, average in zip(trainer.ema_model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_keeps_float32(precision: str) -> None:
    optimizer = {"warmup_steps": 0, "learning_rate": 1e-2}
    trainer = begun(precision=precision, optimizer=optimizer, network={"width": 2})
    losses = [trainer.step((IMAGES, MASKS)) for _ in range(4)]
    assert losses[-1] < losses[0]
    assert trainer.network.model.get_layer("down0_1_conv").compute_dtype == precision
    assert {layer.compute_dtype for layer in trainer.ema_model.layers} == {"float32"}
    for average, weight in zip(
        trainer.ema_model.weights, trainer.network.model.weights, strict=True
    ):
        np.testing.assert_array_equal(average, weight)
    assert keras.config.dtype_policy().name == "float32"


def test_deep_supervision_is_of_the_training_alone() -> None:
    trainer = begun(deep_supervision=True)
    assert len(trainer.network.model.outputs) == 4  # strides 1, 2, 4 and 8
    head = trainer.network.model.get_layer("auxiliary_8")
    before = head.get_weights()[0]
    assert np.isfinite(trainer.step((IMAGES, MASKS)))
    assert (head.get_weights()[0] != before).any()
    assert trainer.ema_model(IMAGES, training=False).shape == (2, 32, 32, 3)
    assert not any("auxiliary" in layer.name for layer in trainer.ema_model.layers)


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
        {"ema_decay": 0.9, "frozen_encoder_epochs": 1, "optimizer": {"name": "sgd"}},
        {"precision": "float16", "deep_supervision": True},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_restored_trainer_is_the_one_that_was_saved(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    run = Run(tmp_path, recipe(**fields))
    trainer = begun(**fields)
    trainer.freeze_encoder("frozen_encoder_epochs" in fields)
    trainer.step((IMAGES, MASKS))
    with trainer.unfrozen():
        run.save_last(trainer.network.model, RunState(steps_done=1), trainer.arrays())
    resumed = restore_trainer(tmp_path / LAST, run.recipe, [1.0, 1.0, 1.0], steps=20)
    assert run.state.steps_done == 1
    for one in (trainer, resumed):
        one.freeze_encoder(False)
        one.step((IMAGES, MASKS))
    pairs = (
        (trainer.network.model, resumed.network.model),
        (trainer.ema_model, resumed.ema_model),
    )
    for one, other in pairs:
        for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(first, second)
    assert trainer.network.encoder_layers == resumed.network.encoder_layers


def test_a_checkpoint_of_another_network_is_not_resumed(tmp_path: Path) -> None:
    run = Run(tmp_path, recipe())
    run.save_last(begun().network.model, RunState(steps_done=1), {})
    other = recipe(network={"name": "segnet", "width": 2})
    with pytest.raises(OtherNetworkError, match="holds the network unet without block1_conv1"):
        restore_trainer(tmp_path / LAST, other, [1.0, 1.0, 1.0], steps=20)
