"""A small network as docs/add-a-network.md has one added: what would be
models/architectures/halved.py, and its row."""

import keras
import tensorflow as tf

from models.architectures.blocks import CropLike, MirrorPad, conv_block
from models.architectures.network import Network, assemble
from models.architectures.options import NetworkOptions
from models.architectures.receptive_field import ReceptiveField
from models.architectures.table import NetworkEntry


class Halve(keras.layers.Layer):  # type: ignore[misc]
    """Every second pixel of (N, H, W, C): a layer of the network's own, which moves pixels."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return features[:, ::2, ::2]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, channels = shape
        return batch, height and -(-height // 2), width and -(-width // 2), channels

    def propagate(self, field: ReceptiveField) -> ReceptiveField:
        return field.sliding(1, 2, "valid")


def build_halved(classes: int, channels: int, options: NetworkOptions) -> Network:
    """Two convolutions, one at each of two resolutions, with no names that another network has."""
    image = keras.Input((None, None, channels), name="image")
    fine = conv_block(MirrorPad(2, name="mirror_pad")(image), options.width, "first")
    coarse = conv_block(Halve(name="halve")(fine), options.width, "second")
    kept = keras.layers.Dropout(options.dropout, name="dropout")(coarse)
    up = keras.layers.Conv2DTranspose(options.width, 2, strides=2, name="back")(kept)
    x = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(up)
    logits = CropLike(dtype="float32", name="crop")((x, image))
    return assemble(
        "halved", image, logits, stride=2, encoder=[fine, coarse], decoder={2: coarse, 1: up}
    )


# The row of the table.
ROW = NetworkEntry(
    paper="none",
    encoders=("plain",),
    upsamplings=("transposed",),
    build=build_halved,
    custom_layers=lambda: (Halve,),
)
