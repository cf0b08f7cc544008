"""Every network the trainer offers, by name."""

from collections.abc import Callable

import keras

from models.architectures.blocks import BatchNorm, CropLike, MirrorPad
from models.architectures.options import NetworkOptions
from models.architectures.unet import build_unet
from models.architectures.upsampling import BilinearKernel, Resize

# What keras.models.load_model needs beside Keras itself to read a network of ours.
CUSTOM_OBJECTS = {
    "BatchNorm": BatchNorm,
    "BilinearKernel": BilinearKernel,
    "CropLike": CropLike,
    "MirrorPad": MirrorPad,
    "Resize": Resize,
}


# How the layers of every encoder begin: those of MobileNetV2 and VGG16 keep Keras' names, the plain ones go down.
ENCODER_LAYERS = ("Conv1", "bn_Conv1", "expanded_conv", "block", "down")

NETWORKS: dict[str, Callable[[int, int, NetworkOptions], keras.Model]] = {
    "unet": lambda classes, channels, options: build_unet(
        classes,
        channels,
        encoder=options.encoder,
        width=options.width,
        upsampling=options.upsampling,
        weights=options.weights,
        dropout=options.dropout,
    ),
}


def build_network(classes: int, channels: int, options: NetworkOptions) -> keras.Model:
    """Build a network: pixel values 0–255 (N, H, W, channels) to logits (N, H, W, classes), any H, W ≥ 1.

    Raises BackboneWeightsError.
    """
    return NETWORKS[options.name](classes, channels, options)


def is_encoder_layer(layer: keras.layers.Layer) -> bool:
    """Whether a network's layer belongs to its contracting path."""
    return bool(layer.name.startswith(ENCODER_LAYERS))
