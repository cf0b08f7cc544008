"""Run by test_trainer in a process of its own: devices can be set up only before TensorFlow has
begun.

    python -m tests.models.training.two_devices steps|runs

Trains a few steps on two virtual CPUs and on one, or a recipe on both, unbroken and stopped in its
second epoch; prints what came of it as JSON.
"""

import json
import signal
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures.blocks import conv_block
from models.architectures.network import Network, assemble
from models.architectures.table import NETWORKS
from models.training.checkpoint import load_network
from models.training.losses import SegmentationLoss
from models.training.recipe import Recipe
from models.training.run import LAST, Run
from models.training.train import train
from models.training.trainer import Trainer, available_strategy
from tests.models.architectures.halved import ROW
from tests.models.conftest import write_dataset

STEPS = 3


def linear_network() -> Network:
    """Without BatchNorm, whose statistics are each device's own, two devices must do exactly what
    one does."""
    image = keras.Input((None, None, 3))
    encoder = keras.layers.Conv2D(4, 1, name="down")(keras.layers.Rescaling(1 / 255)(image))
    logits = keras.layers.Conv2D(3, 1)(encoder)
    return assemble("linear", image, logits, stride=1, encoder=[encoder])


def usual_network() -> Network:
    """With the layers that keep a state of their own: BatchNorm and dropout."""
    image = keras.Input((None, None, 3))
    x = conv_block(keras.layers.Rescaling(1 / 255)(image), 4, "block")
    logits = keras.layers.Conv2D(3, 1)(keras.layers.Dropout(0.2)(x))
    return assemble("usual", image, logits, stride=1, encoder=[x])


def trained(network_of, strategy: tf.distribute.Strategy, recipe: Recipe) -> Trainer:  # type: ignore[no-untyped-def]
    keras.utils.set_random_seed(1)
    with strategy.scope():
        network, optimizer = network_of(), keras.optimizers.SGD(0.1)
        optimizer.build(network.model.trainable_variables)
        loss = SegmentationLoss(recipe.loss, [1.0] * 3)
        trainer = Trainer(network, optimizer, recipe, loss, strategy)
    draw = np.random.default_rng(0)
    images = draw.uniform(0, 255, (STEPS * 4, 16, 16, 3)).astype(np.float32)
    batches = tf.data.Dataset.from_tensor_slices((images, images.argmax(axis=-1).astype(np.uint8)))
    for batch in trainer.distribute(batches.batch(4, drop_remainder=True)):
        trainer.last_loss = trainer.step(batch)  # type: ignore[attr-defined]
    return trainer


def largest_difference(
    first: list[NDArray[np.float32]], second: list[NDArray[np.float32]]
) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


def stopped_and_gone_on(recipe: Recipe, folder: Path) -> int:
    """Train, stopped by a Ctrl-C before the third step, then to the end; the steps done of the
    epoch where it stopped."""
    steps = iter(range(1, 100))
    whole_step = Trainer.step

    def step(self: Trainer, batch: tuple[tf.Tensor, ...]) -> float:
        if next(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return whole_step(self, batch)

    Trainer.step = step  # type: ignore[method-assign]
    try:
        train(recipe, folder)
    except KeyboardInterrupt:
        stopped_at = Run.open(folder).state.steps_done
    train(recipe, folder)
    return stopped_at


def runs_of_a_recipe(folder: Path) -> dict[str, float]:
    """Two epochs of two steps, from reading the data to the report; of a small network, which is
    traced soon."""
    NETWORKS["halved"] = ROW
    recipe = Recipe.model_validate(
        {
            "name": "two",
            "data": str(write_dataset(folder / "data", {"train": 8, "val": 3})),
            "epochs": 2,
            "batch_size": 4,
            "ema_decay": 0.5,
            "network": {"name": "halved", "width": 2, "dropout": 0.2},
            "augmentation": {"crop": [16, 16]},
            "optimizer": {"warmup_steps": 1, "clip_norm": 1.0, "encoder_lr_multiplier": 0.5},
        }
    )
    train(recipe, folder / "whole")
    stopped_at = stopped_and_gone_on(recipe, folder / "broken")
    whole, broken = (load_network(folder / run / LAST).get_weights() for run in ("whole", "broken"))
    return {
        "stopped_at": stopped_at,
        "broken_difference": largest_difference(whole, broken),
    }


def steps_of_networks() -> dict[str, float]:
    """The same steps on two devices and on one."""
    recipe = Recipe(
        name="two",
        data="unused",
        ema_decay=0.5,
        optimizer={"clip_norm": 0.05, "encoder_lr_multiplier": 0.5},
    )
    both = available_strategy()
    two, one = (
        trained(linear_network, strategy, recipe)
        for strategy in (both, tf.distribute.OneDeviceStrategy("/cpu:0"))
    )
    usual = trained(usual_network, both, recipe)
    copies = [both.experimental_local_results(v.value) for v in usual.network.model.weights]
    first, second = ([copy[device].numpy() for copy in copies] for device in (0, 1))
    return {
        "difference": largest_difference(two.ema_model.get_weights(), one.ema_model.get_weights()),
        "moved": float(np.abs(two.network.model.get_weights()[1]).max()),
        "copies": largest_difference(first, second),
        "usual_loss": usual.last_loss,  # type: ignore[attr-defined]
    }


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    with tempfile.TemporaryDirectory() as folder:
        found = steps_of_networks() if sys.argv[1] == "steps" else runs_of_a_recipe(Path(folder))
    json.dump(found | {"devices": available_strategy().num_replicas_in_sync}, sys.stdout)


if __name__ == "__main__":
    main()
