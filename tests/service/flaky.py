"""A real SavedModel that fails or is slow when the first pixel asks for it, and else is solvable in
the head.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.contract import file_digests, write_contract
from tests.solvable import contract_with

FAIL = 251
SLOW = 252
LOOPS = 600


class _FlakyModel(tf.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(1.0)

    def _mood(self, images: tf.Tensor) -> tf.Tensor:
        """0.0, after a while or not at all."""
        first = tf.cast(images[0, 0, 0, 0], tf.int32)
        index = tf.where(first == FAIL, 1, 0)
        nothing = tf.gather(tf.zeros([1]), index)  # index 1 is out of range, which fails on a CPU
        loops = tf.where(first == SLOW, LOOPS, 0)
        _, busy = tf.while_loop(
            lambda i, _: i < loops,
            lambda i, m: (i + 1, tf.matmul(m, m) * 0.0),
            [tf.constant(0), tf.fill([256, 256], self.scale)],
        )
        return nothing + tf.reduce_sum(busy) * 0.0

    def _shares(self, images: tf.Tensor) -> tf.Tensor:
        values = tf.cast(images, tf.float32) * self.scale + 1e-3 + self._mood(images)
        return values / tf.reduce_sum(values, axis=-1, keepdims=True)

    def class_map(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"class_map": tf.cast(tf.argmax(self._shares(images), axis=-1), tf.uint8)}

    def probabilities(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": self._shares(images)}


def save_flaky_model(store: Path, name: str = "flaky", version: int = 1) -> Path:
    """Write the artefact `<store>/<name>/<version>` and give its path."""
    artefact = store / name / str(version)
    module = _FlakyModel()
    images = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
    tf.saved_model.save(
        module,
        str(artefact),
        signatures={
            "serving_default": tf.function(module.class_map, input_signature=[images]),
            "probabilities": tf.function(module.probabilities, input_signature=[images]),
        },
    )
    contract = contract_with(
        name=name, ignore=255, architecture="flaky", files=file_digests(artefact)
    )
    write_contract(artefact, contract)
    return artefact


def mood(first_value: int, height: int = 8, width: int = 8) -> NDArray[np.uint8]:
    """A picture (height, width, 3) whose first pixel has `first_value` in red."""
    image = np.zeros((height, width, 3), np.uint8)
    image[0, 0, 0] = first_value
    return image
