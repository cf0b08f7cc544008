"""Question: what does the fused BatchNorm gain over Keras' own in a training step?

    .venv/bin/python -m benchmarks.batch_norm             (1 minute)

Both variants of the street network, batch 8 of 256×352, in turn in one run; medians of the rounds,
and their ratio.
"""

import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from benchmarks.measuring import alternate, begin, ratio, summary
from models.architectures.blocks import BatchNorm
from models.architectures.networks import build_network

ROUNDS = 5
STEPS = 3


def _keras_own(layer: keras.layers.Layer) -> keras.layers.Layer:
    kind = keras.layers.BatchNormalization if isinstance(layer, BatchNorm) else type(layer)
    return kind.from_config(layer.get_config())


def _step(network: keras.Model) -> Callable[[], float]:
    """A function that takes some training steps and gives the seconds each took."""
    draw = np.random.default_rng(0)
    images = draw.uniform(0, 255, (8, 256, 352, 3)).astype(np.float32)
    masks = draw.integers(0, 11, (8, 256, 352)).astype(np.uint8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.AdamW(1e-3), loss)
    network.train_on_batch(images, masks)

    def run() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            network.train_on_batch(images, masks)
        return (time.perf_counter() - began) / STEPS

    return run


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    network = build_network(
        "unet", classes=11, channels=3, encoder="mobilenet_v2", upsampling="bilinear"
    ).model
    theirs = keras.models.clone_model(network, clone_function=_keras_own)
    variants = {"fused": _step(network), "keras": _step(theirs)}
    seconds = alternate(variants, run.rounds(ROUNDS), "training steps")
    run.write(
        "batch_norm",
        {
            "seconds_a_step": {name: summary(values) for name, values in seconds.items()},
            "keras_over_fused": ratio(seconds["keras"], seconds["fused"]),
        },
    )


if __name__ == "__main__":
    main()
