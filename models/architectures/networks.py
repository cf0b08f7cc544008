"""Build a network of the table by its name or by a recipe's options, or know one again that a file
holds."""

from dataclasses import replace

import keras

from models.architectures.blocks import BatchNorm, CropLike, MirrorPad
from models.architectures.keras_applications import ReverseChannels
from models.architectures.network import Network
from models.architectures.options import NetworkOptions
from models.architectures.table import NETWORKS, Encoder, Padding, Upsampling
from models.architectures.upsampling import (
    BilinearKernel,
    MaxPoolWithIndices,
    MaxUnpool,
    Resize,
    Unpool,
)
from models.architectures.without_weights import without_weights
from models.contract import UserError

_SHARED = (
    BatchNorm,
    BilinearKernel,
    CropLike,
    MaxPoolWithIndices,
    MaxUnpool,
    MirrorPad,
    Resize,
    ReverseChannels,
    Unpool,
)


class OtherNetworkError(UserError):
    """A file holds another network than its recipe says."""


def build_network(
    name: str,
    *,
    classes: int,
    channels: int,
    encoder: Encoder | None = None,
    width: int = 64,
    upsampling: Upsampling | None = None,
    padding: Padding = "same",
    weights: str | None = None,
    dropout: float | None = None,
    feature_norm: bool = False,
) -> Network:
    """Build a network of the table. What is None is the network's own.

    Raises BackboneWeightsError, and ValueError where the choices do not go together.
    """
    document = {
        "name": name,
        "encoder": encoder,
        "width": width,
        "upsampling": upsampling,
        "padding": padding,
        "weights": weights,
        "dropout": dropout,
        "feature_norm": feature_norm,
    }
    return build_by_options(classes, channels, NetworkOptions.model_validate(document))


def build_by_options(classes: int, channels: int, options: NetworkOptions) -> Network:
    """`build_network` by a recipe's [network] table. Raises BackboneWeightsError."""
    return NETWORKS[options.name].build(classes, channels, options)


def build_without_weights(classes: int, channels: int, options: NetworkOptions) -> Network:
    """Build a network of any size in no memory: its layers know their shapes, and no weight has a
    value."""
    with without_weights():
        return build_by_options(classes, channels, options.model_copy(update={"weights": None}))


def with_facts(model: keras.Model, options: NetworkOptions) -> Network:
    """A model that was loaded from a file, with the facts of the network that its recipe's
    [network] table describes.

    Raises OtherNetworkError where it is another.
    """
    classes, channels = model.outputs[0].shape[-1], model.input_shape[-1]
    built = build_without_weights(classes, channels, options)
    missing = {layer.name for layer in built.model.layers if layer.weights} - {
        layer.name for layer in model.layers
    }
    if missing:
        raise OtherNetworkError(
            f"the file holds the network {model.name} without {min(missing)}, which {options.name} "
            "as its recipe has it consists of; was the recipe changed after the training?"
        )
    return replace(built, model=model)


def custom_objects() -> dict[str, type]:
    """What keras.models.load_model needs beside Keras itself to read any network of the table, by
    name."""
    own = (kind for entry in NETWORKS.values() for kind in entry.custom_layers())
    return {kind.__name__: kind for kind in (*_SHARED, *own)}
