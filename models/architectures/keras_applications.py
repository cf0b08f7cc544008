"""Backbones of Keras Applications as encoders, by name: `encoder = "keras:EfficientNetV2B0"`.

What a decoder needs is read from the backbone itself: how its pixels are to be normalised from its
module's `preprocess_input`, and its features at strides 2 to 32 from its graph. Weights are a local
file or an exported model's; "imagenet" alone lets Keras fetch them.
"""

import inspect
import re
import types
from pathlib import Path
from typing import Any

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
)
from models.architectures.receptive_field import (
    ReceptiveField,
    UnknownReceptiveFieldError,
    receptive_fields,
    steps,
)
from models.architectures.table import KERAS
from models.architectures.weights_error import BackboneWeightsError
from models.contract import UserError

STRIDES = (2, 4, 8, 16, 32)
_SIDE = 256  # of an image on which the sizes of the features are checked


class UnfitBackboneError(UserError):
    """No backbone of that name, or one that a decoder cannot use. The text says why."""


def keras_features(
    image: keras.KerasTensor, name: str, weights: str | None
) -> dict[int, keras.KerasTensor]:
    """Map stride to feature map, for strides 2 to 32, of pixel values 0–255 RGB or gray.

    `weights` is "imagenet" (Keras downloads them), the path of a `load_weights` file of the
    backbone without its top, the folder of an exported model with this encoder or of a preset of
    keras-hub, or None for a random start. Raises UnfitBackboneError and BackboneWeightsError.
    """
    build, module = _find(name)
    folder = Path(weights) if weights is not None and Path(weights).is_dir() else None
    original = _built(build, name, None if folder else weights)
    if folder is not None and is_preset(folder):
        _take_preset(original, folder, name, module)
    x = _normalized(gray_to_rgb(image), module)
    layers = _feature_layers(original, name)
    names = _stable_names(original)
    trunk = keras.models.clone_model(
        original, input_tensors=x, clone_function=lambda layer: _own_layer(layer, names)
    )
    if weights is not None:
        trunk.set_weights(original.get_weights())
    features = {s: trunk.get_layer(names[layer]).output for s, layer in layers.items()}
    if folder is not None and not is_preset(folder):
        _take_exported(keras.Model(image, list(features.values())), folder, name)
    return features


# ---- the backbone


def _find(name: str) -> tuple[Any, types.ModuleType]:
    """The function that builds it, and the module with its preprocess_input."""
    applications = vars(keras.applications)
    build = applications.get(name)
    if inspect.isfunction(build):
        module = applications.get(build.__module__.rpartition(".")[2])
        if isinstance(module, types.ModuleType) and hasattr(module, "preprocess_input"):
            return build, module
    known = sorted(n for n, value in applications.items() if inspect.isfunction(value))
    raise UnfitBackboneError(
        f"Keras Applications has no backbone '{name}'; it has {', '.join(known)}"
    )


def _built(build: Any, name: str, weights: str | None) -> keras.Model:
    fetched = weights if weights == "imagenet" else None
    try:
        model = build(include_top=False, weights=fetched, input_shape=(None, None, 3))
    except (ValueError, TypeError) as error:
        raise UnfitBackboneError(
            f"{name} of Keras Applications takes no images of any size: {_line(error)}; take "
            "another backbone"
        ) from error
    except Exception as error:  # Keras raises nothing narrower where a download fails
        raise BackboneWeightsError(
            f"Keras could not fetch the ImageNet weights of {name} ({_line(error)}); give the path "
            "of a weights file instead"
        ) from error
    if weights in (None, "imagenet"):
        return model
    if not Path(weights).is_file():
        raise BackboneWeightsError(
            f"no backbone weights at {weights}; give the path of a weights file of {name} without "
            "its top, an exported model's folder, or 'imagenet' to let Keras fetch them"
        )
    try:
        model.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
        raise BackboneWeightsError(
            f"{weights} does not fit {name} without its top: {_line(error)}"
        ) from error
    return model


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _stable_names(model: keras.Model) -> dict[str, str]:
    """Names of layers without the number that Keras counts up in a process for those it names
    itself: a file knows a layer by its name."""
    names = {}
    for place, layer in enumerate(model.layers):
        kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(layer).__name__).lower()
        own = re.fullmatch(rf"{kind}(_\d+)?", layer.name)
        names[layer.name] = f"encoder_{kind}_{place}" if own else layer.name
    return names


def _own_layer(layer: keras.layers.Layer, names: dict[str, str]) -> keras.layers.Layer:
    """A copy of a layer, of a BatchNormalization ours."""
    config = layer.get_config() | {"name": names[layer.name]}
    if isinstance(layer, keras.layers.BatchNormalization):
        return BatchNorm.from_config(config | {"momentum": BATCH_NORM_MOMENTUM})
    return type(layer).from_config(config)


def _take_preset(backbone: keras.Model, folder: Path, name: str, module: types.ModuleType) -> None:
    """The weights of keras-hub's same network, for the pixels that ours is given."""
    preset = open_preset(folder, f"{KERAS}{name}")
    ours = [layer for layer in backbone.layers if layer.weights]
    shapes = [
        (_KINDS[type(layer)], [tuple(weight.shape) for weight in layer.weights]) for layer in ours
    ]
    for layer, arrays in zip(ours, weights_of(preset.weights, shapes), strict=True):
        layer.set_weights(arrays)
    bgr, form = _pixel_form(module)
    order = slice(None, None, -1 if bgr else 1)
    given = PixelForm(form.scale[order], form.offset[order])  # of RGB
    first = next(layer for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D))
    kernel, added = on_other_pixels(first.kernel.numpy(), preset.pixels, given)
    first.kernel.assign(kernel[:, :, order])
    if first.use_bias:
        first.bias.assign_add(added)
        return
    norm = next(
        layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)
    )
    norm.moving_mean.assign_sub(added)


_KINDS = {
    keras.layers.Conv2D: "conv2d",
    keras.layers.BatchNormalization: "batch_normalization",
}


def _take_exported(encoder: keras.Model, folder: Path, name: str) -> None:
    kept = exported_variables(folder)
    for weight in encoder.weights:
        found = kept.get(weight.path)
        if found is None or found.shape != tuple(weight.shape):
            raise BackboneWeightsError(
                f"{folder} has another encoder than keras:{name} (no {weight.path} of "
                f"{tuple(weight.shape)}); give a model that was trained with it"
            )
        weight.assign(found)


# ---- its pixels


class ReverseChannels(keras.layers.Layer):  # type: ignore[misc]
    """RGB to BGR (N, H, W, 3)."""

    def call(self, x: Any) -> Any:
        return x[..., ::-1]

    def propagate(self, field: ReceptiveField) -> ReceptiveField:
        return field

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape


def _normalized(x: keras.KerasTensor, module: types.ModuleType) -> keras.KerasTensor:
    """Pixels as the module's preprocess_input has them."""
    bgr, form = _pixel_form(module)
    if bgr:
        x = ReverseChannels(name="bgr")(x)
    if np.allclose(form.scale, 1) and np.allclose(form.offset, 0):
        return x  # the backbone does it itself
    return keras.layers.Rescaling(form.scale.tolist(), form.offset.tolist(), name="scale")(x)


def _pixel_form(module: types.ModuleType) -> tuple[bool, PixelForm]:
    """Whether the module's preprocess_input has pixels in the order BGR, and how it scales and
    shifts each channel, in its order. It is asked for black and for each channel alone. Raises
    UnfitBackboneError."""

    def asked(pixel: tuple[float, ...]) -> NDArray[np.float64]:
        image = np.array(pixel, np.float64).reshape(1, 1, 1, 3)
        given = module.preprocess_input(image, data_format="channels_last")
        return np.asarray(given, np.float64).reshape(3)

    offset = asked((0, 0, 0))
    matrix = np.stack([asked(tuple(255.0 * row)) - offset for row in np.eye(3)]) / 255
    bgr = bool(np.count_nonzero(np.diag(matrix)) < 3)
    if bgr:
        matrix = matrix[::-1]
    scale = np.diag(matrix)
    if not np.allclose(matrix, np.diag(scale), atol=1e-9):
        raise UnfitBackboneError(
            f"{module.__name__} normalises pixels by more than a scale and an offset a channel"
        )
    return bgr, PixelForm(scale, offset)


# ---- its features


def _feature_layers(backbone: keras.Model, name: str) -> dict[int, str]:
    """By stride, the layer with the last narrow output through which all that follows goes. Raises
    UnfitBackboneError."""
    try:
        fields = receptive_fields(backbone)
    except UnknownReceptiveFieldError as error:
        raise UnfitBackboneError(
            f"{name} of Keras Applications does not fit: {str(error).partition(';')[0]}; take "
            "another backbone"
        ) from error
    chains: dict[int, list[keras.layers.Layer]] = {}
    for layer in _bottlenecks(backbone):
        chains.setdefault(int(fields[id(layer.output)].step), []).append(layer)
    missing = [stride for stride in STRIDES if stride not in chains]
    if missing:
        raise UnfitBackboneError(
            f"{name} of Keras Applications has no features at stride {missing[0]}; a decoder here "
            "needs them at 2, 4, 8, 16 and 32"
        )
    ends = {stride: _narrow_end(chains[stride]) for stride in STRIDES}
    outputs = [layer.output for layer in ends.values()]
    sizes = keras.Model(backbone.inputs, outputs).compute_output_shape((1, _SIDE, _SIDE, 3))
    for stride, (_, height, width, _) in zip(STRIDES, sizes, strict=True):
        if (height, width) != (_SIDE // stride, _SIDE // stride):
            raise UnfitBackboneError(
                f"{name} of Keras Applications makes {height}×{width} of {_SIDE}×{_SIDE} pixels "
                f"at stride {stride}, not {_SIDE // stride}×{_SIDE // stride}: its convolutions "
                "are not padded; take another backbone"
            )
    return {stride: layer.name for stride, layer in ends.items()}


def _bottlenecks(backbone: keras.Model) -> list[keras.layers.Layer]:
    """The layers in order whose output is all that is still needed."""
    order = list(steps(backbone))
    last_use = {id(tensor): place for place, (_, ins, _) in enumerate(order) for tensor in ins}
    found, needed_until = [], 0
    for place, (layer, _, (output, *_)) in enumerate(order):
        if needed_until <= place:
            found.append(layer)
        needed_until = max(needed_until, last_use.get(id(output), place))
    return found


def _narrow_end(chain: list[keras.layers.Layer]) -> keras.layers.Layer:
    """The last of the bottlenecks at one stride; where a 1×1 convolution widens it for the next
    stride's first block, as in inverted residuals, the one before that."""
    ends = [layer for layer in chain if not isinstance(layer, keras.layers.ZeroPadding2D)]
    for layer, before in zip(ends[::-1], ends[-2::-1], strict=False):
        if isinstance(layer, keras.layers.Conv2D):
            widens = layer.output.shape[-1] > before.output.shape[-1]
            return before if layer.kernel_size == (1, 1) and widens else ends[-1]
        if not isinstance(layer, _AFTER_A_CONVOLUTION):
            break
    return ends[-1]


_AFTER_A_CONVOLUTION = (
    keras.layers.BatchNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
)
