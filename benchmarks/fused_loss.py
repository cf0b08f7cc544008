"""Question: what does a loss that XLA fuses gain in a training step on the CPU?

    .venv/bin/python -m benchmarks.fused_loss             (1 minute)

The recipe of `street`, random weights, batch 8 of 256×352: its loss as it is, and with the same operations one by one; in turn
in one run, medians of the rounds, and their ratio.
"""

import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measuring import alternate, begin, ratio, summary
from benchmarks.scores import RECIPES
from models.training.learner import Learner, available_strategy, begun_learner
from models.training.losses import SegmentationLoss
from models.training.recipe import read_recipe

ROUNDS = 5
STEPS = 3
CLASSES = 11


def _step(is_fused: bool) -> Callable[[], float]:
    """A function that takes some training steps and gives the seconds each took."""
    keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()  # as a training does
    recipe = read_recipe(RECIPES / "street.toml").model_copy(update={"average": 0.0})
    network = recipe.network.model_copy(update={"weights": None})
    recipe = recipe.model_copy(update={"network": network})
    weights = [1.0] * CLASSES
    begun = begun_learner(recipe, 3, weights, steps=1000)
    loss = SegmentationLoss(recipe.loss, weights, is_fused)
    learner = Learner(begun.network, begun.optimizer, recipe, loss, available_strategy())
    draw = np.random.default_rng(0)
    shape = (recipe.batch_size, *recipe.augmentation.crop)
    images = tf.constant(draw.uniform(0, 255, (*shape, 3)), tf.float32)
    masks = tf.constant(draw.integers(0, CLASSES, shape), tf.uint8)
    learner.step((images, masks))

    def run() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            learner.step((images, masks))
        return (time.perf_counter() - began) / STEPS

    return run


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    variants = {"fused": _step(True), "one_by_one": _step(False)}
    seconds = alternate(variants, run.rounds(ROUNDS), "training steps")
    run.write(
        "fused_loss",
        {
            "seconds_a_step": {name: summary(values) for name, values in seconds.items()},
            "one_by_one_over_fused": ratio(seconds["one_by_one"], seconds["fused"]),
        },
    )


if __name__ == "__main__":
    main()
