"""A small convolutional network with random weights, pooling and a known receptive field: tiles
must not show in it.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from models.contract import Contract, SegmentationClass, file_digests, write_contract

CLASSES = 5
STRIDE = 4
# 3×3 at full size: 1; pool: 1; 3×3 at half size: 2; pool: 2; 3×3 at a quarter: 4; back up by
# nearest: 3; 3×3: 1
RADIUS = 14


class _ConvNetwork(tf.Module):  # type: ignore[misc]
    def __init__(self, seed: int, *, sees_everything: bool) -> None:
        super().__init__()
        draw = np.random.default_rng(seed)
        widths = [(3, 8), (8, 8), (8, 8), (16, CLASSES)]
        self.sees_everything = sees_everything
        self.kernels = [
            tf.Variable(draw.normal(0, 0.3, (3, 3, *width)).astype(np.float32)) for width in widths
        ]

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """Images of a multiple of STRIDE to logits. The service pads, so this graph need not."""
        first = tf.nn.relu(
            tf.nn.conv2d(tf.cast(images, tf.float32) / 255.0 - 0.5, self.kernels[0], 1, "SAME")
        )
        half = tf.nn.relu(
            tf.nn.conv2d(tf.nn.max_pool2d(first, 2, 2, "VALID"), self.kernels[1], 1, "SAME")
        )
        quarter = tf.nn.relu(
            tf.nn.conv2d(tf.nn.max_pool2d(half, 2, 2, "VALID"), self.kernels[2], 1, "SAME")
        )
        if self.sees_everything:
            quarter += tf.reduce_mean(quarter, axis=(1, 2), keepdims=True)
        up = tf.repeat(tf.repeat(quarter, 4, axis=1), 4, axis=2)
        return tf.nn.conv2d(tf.concat([first, up], axis=-1), self.kernels[3], 1, "SAME")

    def class_map(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"class_map": tf.cast(tf.argmax(self.logits(images), axis=-1), tf.uint8)}

    def probabilities(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(self.logits(images))}


def save_conv_network(store: Path, name: str, *, sees_everything: bool = False) -> Path:
    """Write `<store>/<name>/1`; with a mean over the whole picture it has no finite radius."""
    artefact = store / name / "1"
    network = _ConvNetwork(seed=3, sees_everything=sees_everything)
    images = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
    signatures = {
        "serving_default": tf.function(network.class_map, input_signature=[images]),
        "probabilities": tf.function(network.probabilities, input_signature=[images]),
    }
    tf.saved_model.save(network, str(artefact), signatures=signatures)
    contract = Contract(
        name=name,
        classes=tuple(
            SegmentationClass(id=i, name=f"kind {i}", color=f"#{40 * i:02x}4080")
            for i in range(CLASSES)
        ),
        channels=3,
        stride=STRIDE,
        receptive_field_radius=None if sees_everything else RADIUS,
        architecture="conv",
        upsampling="nearest",
        parameters=1,
        files=file_digests(artefact),
    )
    write_contract(artefact, contract)
    return artefact
