"""Question: how much faster is a training step in bfloat16 on a CPU that multiplies it in hardware?

    .venv/bin/python -m benchmarks.training_step          (3 minutes)

The steps of two recipes from random weights on one batch again and again, in float32 and in
bfloat16, in turn in one run: `street`, whose MobileNetV2 stays in float32 either way, and
`vessels`, a plain U-Net. `all_bfloat16` is `street` with the encoder in bfloat16 as well: what
that costs is why it is not so.
"""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks.measuring import alternate, begin, ratio, summary
from models.architectures import encoders
from models.training.options import Precision
from models.training.recipe import read_recipe
from models.training.trainer import new_trainer

RECIPES = Path(__file__).parents[1] / "models" / "recipes"
CLASSES = {"street": 11, "vessels": 2}
ROUNDS = 7


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    variants = {
        "street, float32": _step("street", "float32"),
        "street, bfloat16": _step("street", "bfloat16"),
        "street, all_bfloat16": _step("street", "bfloat16", encoder_too=True),
        "vessels, float32": _step("vessels", "float32"),
        "vessels, bfloat16": _step("vessels", "bfloat16"),
    }
    seconds = alternate(variants, run.rounds(ROUNDS), "training steps")
    run.write(
        "training_step",
        {
            "seconds_a_step": {name: summary(values) for name, values in seconds.items()},
            "float32_over_bfloat16": {
                name: ratio(seconds[f"{name}, float32"], seconds[f"{name}, bfloat16"])
                for name in CLASSES
            },
            "float32_over_all_bfloat16": ratio(
                seconds["street, float32"], seconds["street, all_bfloat16"]
            ),
        },
    )


def _step(name: str, precision: Precision, *, encoder_too: bool = False) -> Callable[[], float]:
    """A function that takes one training step and gives the seconds; traced and run once."""
    recipe = read_recipe(RECIPES / f"{name}.toml", {"precision": precision})
    network = recipe.network.model_copy(update={"weights": None})
    random = recipe.model_copy(update={"network": network})
    classes = CLASSES[name]
    everywhere = patch.object(encoders, "_float32_where_faster", nullcontext)
    with everywhere if encoder_too else nullcontext():
        trainer = new_trainer(random, 3, [1.0] * classes, steps=1000)
    shape = (recipe.batch_size, *recipe.augmentation.crop)
    draw = np.random.default_rng(0)
    batch = (
        tf.constant(draw.uniform(0, 255, (*shape, 3)).astype(np.float32)),
        tf.constant(draw.integers(0, classes, shape).astype(np.uint8)),
    )
    trainer.step(batch)

    def run() -> float:
        began = time.perf_counter()
        trainer.step(batch)
        return time.perf_counter() - began

    return run


if __name__ == "__main__":
    main()
