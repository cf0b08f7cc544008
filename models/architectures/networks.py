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
