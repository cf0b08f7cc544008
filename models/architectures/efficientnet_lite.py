"""EfficientNet-Lite0 (Tan and Le: "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", 2019; the Lite variants Google published in 2020 for int8 on CPUs).

EfficientNet-B0 without squeeze-and-excitation, with ReLU6 in the place of swish, its first
convolution and its head never scaled. The head is left out here: it was made for classification.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from models.architectures.backbones import exported_variables
from models.architectures.blocks import BATCH_NORM_MOMENTUM, BatchNorm, gray_to_rgb
from models.architectures.keras_hub import (
    PixelForm,
    is_preset,
    on_other_pixels,
    open_preset,
    weights_of,
    with_epsilon,
)
from models.architectures.weights_error import BackboneWeightsError

# ---- blocks


@dataclass(frozen=True)
class Stage:
    """A row of the paper's table 1: so many inverted residual blocks, the first with `stride`."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_SCALE, _OFFSET = 1 / 128, -127 / 128  # of pixels 0–255, as the published weights want them
_EPSILON = 1e-3
STEM_CHANNELS = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def _inverted_residual(
    x: keras.KerasTensor, stage: Stage, stride: int, name: str
) -> keras.KerasTensor:
    """Expand by 1×1, filter by depth, project by 1×1 (Sandler et al. 2018), with a residual where
    the shape stays."""
    start, channels = x, x.shape[-1]
    if stage.expansion > 1:
        x = _convolution(x, channels * stage.expansion, 1, 1, f"{name}_expand")
        x = keras.layers.ReLU(6.0, name=f"{name}_expand_relu")(x)
    x = keras.layers.DepthwiseConv2D(
        stage.kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(x)
    x = _norm(x, f"{name}_depthwise_bn")
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _convolution(x, stage.channels, 1, 1, f"{name}_project")
    if stride == 1 and channels == stage.channels:
        x = keras.layers.Add(name=f"{name}_add")([start, x])
    return x


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return _norm(x, "stem_bn" if name == "stem_conv" else f"{name}_bn")


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return BatchNorm(momentum=BATCH_NORM_MOMENTUM, epsilon=_EPSILON, name=name)(x)


# ---- the encoder


def efficientnet_lite0_features(
    image: keras.KerasTensor, weights: str | None
) -> dict[int, keras.KerasTensor]:
    """Map stride to feature map, for strides 2, 4, 8, 16 and 32 (16, 24, 40, 112 and 192 channels),
    of pixel values 0–255.

    Each is the output of the last block at its stride; the last stage, 320 wide, is left out as
    MobileNetV2's is. `weights` is what `load_efficientnet_lite0` reads, or None for a random start.
    Raises BackboneWeightsError.
    """
    blocks = efficientnet_lite0_blocks(image, len(STAGES) - 1)
    features = {2: blocks[0], 4: blocks[2], 8: blocks[4], 16: blocks[10], 32: blocks[14]}
    if weights is not None:
        load_efficientnet_lite0(keras.Model(image, list(features.values())), weights)
    return features


def efficientnet_lite0_blocks(
    image: keras.KerasTensor, stages: int = len(STAGES)
) -> list[keras.KerasTensor]:
    """What each block of the first `stages` gives, of pixel values 0–255 RGB or gray."""
    x = keras.layers.Rescaling(_SCALE, offset=_OFFSET, name="scale")(image)
    x = gray_to_rgb(x)
    x = _convolution(x, STEM_CHANNELS, 3, 2, "stem_conv")
    x = keras.layers.ReLU(6.0, name="stem_relu")(x)
    outputs: list[keras.KerasTensor] = []
    for stage in STAGES[:stages]:
        for number in range(stage.blocks):
            stride = stage.stride if number == 0 else 1
            x = _inverted_residual(x, stage, stride, f"block{len(outputs)}")
            outputs.append(x)
    return outputs


def load_efficientnet_lite0(network: keras.Model, weights: str) -> None:
    """Give the network, whose layers are named as those here, the weights of a .npz, of an exported
    model, or of a preset of keras-hub's lite0.

    The .npz has the arrays `stem/conv/kernel` (3, 3, 3, 32), `stem/bn/gamma`, `stem/bn/beta`,
    `stem/bn/moving_mean`, `stem/bn/moving_variance`, and of each block of `block0` to `block14`
    likewise `expand`, `depthwise` (its kernel is called `depthwise_kernel`) and `project`; what
    else it has is not read. Raises BackboneWeightsError.
    """
    path = Path(weights)
    if weights == "imagenet":
        raise BackboneWeightsError(
            "Keras has no ImageNet weights of EfficientNet-Lite0 to fetch; give the path of a .npz "
            "of them, or take the encoder mobilenet_v2"
        )
    if is_preset(path):
        kept = _read_preset(network, path)
    elif path.is_dir():
        kept = exported_variables(path)
    else:
        kept = {_path_in_network(key): value for key, value in _read_arrays(path).items()}
    for weight in network.weights:
        shape, found = tuple(weight.shape), kept.get(weight.path)
        if found is None or found.shape != shape:
            has = "nothing there" if found is None else f"{found.shape}"
            raise BackboneWeightsError(
                f"{weights} does not fit EfficientNet-Lite0: {weight.path} is {shape}, and it has "
                f"{has}; give a .npz of its weights, or a model that was trained with "
                "network.encoder = 'efficientnet_lite0'"
            )
        weight.assign(found)


def _read_preset(network: keras.Model, folder: Path) -> dict[str, NDArray[np.generic]]:
    """By path in the network. Its paddings are PyTorch's: at stride s our features are those of the
    picture without its s - 1 first rows and columns."""
    preset = open_preset(folder, "efficientnet_lite0")
    ours = [(layer, _KINDS[type(layer)]) for layer in network.layers if type(layer) in _KINDS]
    shapes = [(kind, [tuple(one.shape) for one in layer.weights]) for layer, kind in ours]
    theirs = weights_of(preset.weights, shapes)
    given = PixelForm(np.full(3, _SCALE), np.full(3, _OFFSET))
    stem, added = on_other_pixels(theirs[0][0], preset.pixels, given)
    kept: dict[str, NDArray[np.generic]] = {}
    for (layer, kind), arrays in zip(ours, theirs, strict=True):
        weights = arrays
        if kind == "batch_normalization":
            weights = with_epsilon(arrays, preset.epsilon, _EPSILON)
        if layer.name == "stem_conv":
            weights = [stem]
        elif layer.name == "stem_bn":
            weights[2] = weights[2] - added
        kept |= {weight.path: array for weight, array in zip(layer.weights, weights, strict=True)}
    return kept


_KINDS = {
    keras.layers.Conv2D: "conv2d",
    keras.layers.DepthwiseConv2D: "depthwise_conv2d",
    BatchNorm: "batch_normalization",
}


def _path_in_network(key: str) -> str:
    """block1/depthwise/depthwise_kernel as block1_depthwise/kernel."""
    layer, _, name = key.rpartition("/")
    return f"{layer.replace('/', '_')}/{name.removeprefix('depthwise_')}"


def _read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError as error:
        raise BackboneWeightsError(
            f"no backbone weights at {path}; give the path of a .npz of EfficientNet-Lite0, or an "
            "exported model's folder"
        ) from error
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise BackboneWeightsError(
            f"{path} is not a .npz file ({error}); give one of EfficientNet-Lite0's weights"
        ) from error
