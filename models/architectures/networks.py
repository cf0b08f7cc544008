"""Every network the trainer offers, by name."""

from collections.abc import Callable

import keras

from models.architectures.blocks import BatchNorm, CropLike, MirrorPad
from models.architectures.encoder_decoder import build_encoder_decoder
from models.architectures.fcn import build_fcn
from models.architectures.options import (
    Encoder,
    NetworkName,
    NetworkOptions,
    Padding,
    Upsampling,
)
from models.architectures.segnet import build_segnet
from models.architectures.unet import build_unet
from models.architectures.unet_mobile import build_unet_mobile
from models.architectures.upsampling import (
    BilinearKernel,
    MaxPoolWithIndices,
    MaxUnpool,
    Resize,
    Unpool,
)

# What keras.models.load_model needs beside Keras itself to read a network of ours.
CUSTOM_OBJECTS = {
    kind.__name__: kind
    for kind in (
        BatchNorm,
        BilinearKernel,
        CropLike,
        MaxPoolWithIndices,
        MaxUnpool,
        MirrorPad,
        Resize,
        Unpool,
    )
}


# How the layers of every encoder begin: those of MobileNetV2 and VGG16 keep Keras' names, the plain ones go down.
ENCODER_LAYERS = ("Conv1", "bn_Conv1", "expanded_conv", "block", "down")


def _fcn(classes: int, channels: int, options: NetworkOptions) -> keras.Model:
    return build_fcn(
        classes,
        channels,
        finest={"fcn32s": 32, "fcn16s": 16, "fcn8s": 8}[options.name],  # type: ignore[arg-type]
        width=options.width,
        upsampling=options.upsampling,
        weights=options.weights,
        dropout=options.dropout,
    )


NETWORKS: dict[NetworkName, Callable[[int, int, NetworkOptions], keras.Model]] = {
    "fcn32s": _fcn,
    "fcn16s": _fcn,
    "fcn8s": _fcn,
    "unet": lambda classes, channels, options: build_unet(
        classes,
        channels,
        encoder=options.encoder,
        width=options.width,
        upsampling=options.upsampling,
        padding=options.padding,
        weights=options.weights,
        dropout=options.dropout,
    ),
    "encoder_decoder": lambda classes, channels, options: build_encoder_decoder(
        classes,
        channels,
        width=options.width,
        upsampling=options.upsampling,
        dropout=options.dropout,
    ),
    "segnet": lambda classes, channels, options: build_segnet(
        classes,
        channels,
        width=options.width,
        upsampling=options.upsampling,
        weights=options.weights,
        dropout=options.dropout,
    ),
    "unet_mobile": lambda classes, channels, options: build_unet_mobile(
        classes,
        channels,
        upsampling=options.upsampling,
        weights=options.weights,
        dropout=options.dropout,
    ),
}


def build_network(
    name: NetworkName,
    *,
    classes: int,
    channels: int,
    encoder: Encoder | None = None,
    width: int = 64,
    upsampling: Upsampling | None = None,
    padding: Padding = "same",
    weights: str | None = None,
    dropout: float | None = None,
) -> keras.Model:
    """Build a network: pixel values 0–255 (N, H, W, channels) to logits (N, H, W, classes), any H, W ≥ 1.

    What is None is the network's own. Raises BackboneWeightsError, and ValueError where the choices do not go together.
    """
    document = {
        "name": name,
        "encoder": encoder,
        "width": width,
        "upsampling": upsampling,
        "padding": padding,
        "weights": weights,
        "dropout": dropout,
    }
    return build_by_options(classes, channels, NetworkOptions.model_validate(document))


def build_by_options(classes: int, channels: int, options: NetworkOptions) -> keras.Model:
    """`build_network` by a recipe's [network] table. Raises BackboneWeightsError."""
    return NETWORKS[options.name](classes, channels, options)


def is_encoder_layer(layer: keras.layers.Layer) -> bool:
    """Whether a network's layer belongs to its contracting path."""
    return bool(layer.name.startswith(ENCODER_LAYERS))
