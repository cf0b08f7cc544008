"""Presets of keras-hub's backbones, as `save_to_preset` writes them or its hub keeps them: a local
folder, read without keras-hub, and never fetched.

An encoder takes the preset whose network is its own, filter by filter. The form of the pixels and
BatchNorm's epsilon go into the weights. Where the two pad other sides, our features are theirs of a
picture that lies a few pixels further, less than their stride.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from models.architectures.table import KERAS, Encoder
from models.architectures.weights_error import BackboneWeightsError

CONFIG, WEIGHTS, CONVERTER = "config.json", "model.weights.h5", "image_converter.json"
_MOST_BYTES = 2**20  # of a JSON file


# ---- which are taken


@dataclass(frozen=True)
class _Twin:
    """The backbone of keras-hub that is an encoder's network: where its configuration has these
    values. `published` names a preset of it; `optional` gives what a missing value means."""

    class_name: str
    published: str
    config: Mapping[str, object]
    optional: Mapping[str, object]


def _vgg(published: str, convolutions: list[int]) -> _Twin:
    return _Twin("VGGBackbone", published, {"stackwise_num_repeats": convolutions}, {})


def _densenet(published: str, blocks: list[int]) -> _Twin:
    config: dict[str, object] = {"stackwise_num_repeats": blocks}
    return _Twin(
        "DenseNetBackbone", published, config, {"compression_ratio": 0.5, "growth_rate": 32}
    )


_LITE0 = _Twin(
    "EfficientNetBackbone",
    "efficientnet_lite0_ra_imagenet",
    {
        "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
        "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
        "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
        "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
        "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
        "stackwise_squeeze_and_excite_ratios": [0] * 7,
        "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
        "stackwise_block_types": ["v1"] * 7,
        "activation": "relu6",
    },
    {
        "stackwise_width_coefficients": [1] * 7,
        "stackwise_depth_coefficients": [1] * 7,
        "width_coefficient": 1,  # as older versions of keras-hub have the two
        "depth_coefficient": 1,
        "stackwise_force_input_filters": [0] * 7,
        "projection_activation": None,
        "include_stem_padding": True,
        "stem_conv_padding": "valid",
    },
)
_TWINS: dict[Encoder, _Twin] = {
    "vgg16": _vgg("vgg_16_imagenet", [2, 2, 3, 3, 3]),
    f"{KERAS}VGG16": _vgg("vgg_16_imagenet", [2, 2, 3, 3, 3]),
    f"{KERAS}VGG19": _vgg("vgg_19_imagenet", [2, 2, 4, 4, 4]),
    f"{KERAS}DenseNet121": _densenet("densenet_121_imagenet", [6, 12, 24, 16]),
    f"{KERAS}DenseNet169": _densenet("densenet_169_imagenet", [6, 12, 32, 32]),
    f"{KERAS}DenseNet201": _densenet("densenet_201_imagenet", [6, 12, 48, 32]),
    "efficientnet_lite0": _LITE0,
}


def is_preset(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def other_backbone(folder: Path, encoder: Encoder) -> BackboneWeightsError:
    """What to raise of a preset that is not the network of `encoder`. Raises BackboneWeightsError
    itself where it is no preset."""
    theirs = _read(folder / CONFIG).get("class_name")
    twin = _TWINS.get(encoder)
    wants = f"only that of {twin.published}" if twin else "none of keras-hub's"
    taken = ", ".join(f"{twin.published} ({name})" for name, twin in _TWINS.items())
    return BackboneWeightsError(
        f"{folder} is a preset of keras-hub's {theirs}, and the encoder {encoder} has another "
        f"network: it takes {wants}. Taken are the networks of these presets (for the encoder): "
        f"{taken}; for others, give a weights file of the encoder's own"
    )


# ---- a preset

LayerShapes = tuple[
    str, list[tuple[int, ...]]
]  # its kind, as conv2d, and the shapes of its weights


@dataclass(frozen=True)
class PixelForm:
    """What pixels become in front of a network: values 0–255 RGB times `scale` and plus `offset`, a
    value each a channel."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]


@dataclass(frozen=True)
class Preset:
    """The file of its weights, the pixels they were trained on, and BatchNorm's epsilon where the
    preset says it."""

    weights: Path
    pixels: PixelForm
    epsilon: float


def open_preset(folder: Path, encoder: Encoder) -> Preset:
    """The preset in a folder. Raises BackboneWeightsError where it is not the network of `encoder`,
    and where it does not say how its pixels are scaled."""
    document, twin = _read(folder / CONFIG), _TWINS.get(encoder)
    config = document.get("config")
    if (
        twin is None
        or document.get("class_name") != twin.class_name
        or not isinstance(config, dict)
        or any(config.get(key) != value for key, value in twin.config.items())
        or any(config.get(key, value) != value for key, value in twin.optional.items())
    ):
        raise other_backbone(folder, encoder)
    if not (folder / CONVERTER).is_file():
        raise BackboneWeightsError(
            f"{folder} has no {CONVERTER}, so that nothing says how the pixels of its training "
            "were scaled; save it with its preprocessor, as task.save_to_preset does"
        )
    converter = _read(folder / CONVERTER).get("config", {})
    scale, offset = converter.get("scale"), converter.get("offset")
    pixels = PixelForm(
        _a_channel(folder, "scale", 1.0 if scale is None else scale),
        _a_channel(folder, "offset", 0.0 if offset is None else offset),
    )
    return Preset(folder / WEIGHTS, pixels, _epsilon(folder, config))


def _epsilon(folder: Path, config: dict[str, Any]) -> float:
    value = config.get("batch_norm_epsilon", 1e-5)
    if not isinstance(value, float) or not 0 < value < 1:
        raise BackboneWeightsError(
            f"{folder / CONFIG}: batch_norm_epsilon is {value!r}; it is a number between 0 and 1"
        )
    return value


def weights_of(file: Path, wanted: Sequence[LayerShapes]) -> list[list[NDArray[np.float32]]]:
    """The weights of each layer wanted, in the network's order; the file may have more behind them.
    Raises BackboneWeightsError."""
    of_kind = {kind: iter(found) for kind, found in _layers(file).items()}
    taken = []
    for kind, shapes in wanted:
        arrays = next(of_kind.get(kind, iter(())), [])
        if [array.shape for array in arrays] != shapes:
            has = ", ".join(str(array.shape) for array in arrays) or "none"
            raise BackboneWeightsError(
                f"{file} does not fit the encoder: a layer of the kind {kind} has weights of "
                f"{', '.join(map(str, shapes))}, and the file's {has}; take a preset whose "
                f"{CONFIG} and {WEIGHTS} were saved together"
            )
        taken.append(arrays)
    return taken


def _layers(file: Path) -> dict[str, list[list[NDArray[np.float32]]]]:
    """By kind of layer, the weights of each in the order of their numbers."""
    numbered: dict[str, dict[int, list[NDArray[np.float32]]]] = {}
    try:
        with h5py.File(file) as opened:
            for name, group in opened["layers"].items():
                variables = group["vars"]
                kind, _, number = name.rpartition("_")
                if not number.isdigit():  # the first of its kind
                    kind, number = name, "0"
                arrays = [
                    np.asarray(variables[place], np.float32) for place in sorted(variables, key=int)
                ]
                numbered.setdefault(kind, {})[int(number)] = arrays
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise BackboneWeightsError(
            f"{file} is no weights file of a keras-hub preset: {error}"
        ) from error
    return {kind: [found[n] for n in sorted(found)] for kind, found in numbered.items()}


# ---- its weights in another network


def on_other_pixels(
    kernel: NDArray[np.float32], trained: PixelForm, given: PixelForm
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of a first convolution (H, W, 3, out) that was trained on one form of pixels: the kernel for
    another, and what is to be added to each output (out).

    Both give the same but at the border, where zeros around the picture are another gray.
    """
    ratio = trained.scale / given.scale
    zero = trained.offset - given.offset * ratio  # their form of what is zero in the other
    added = np.einsum("hwio,i->o", kernel, zero)
    moved = kernel * ratio[:, np.newaxis]
    return moved.astype(np.float32), added.astype(np.float32)


def with_epsilon(
    norm: list[NDArray[np.float32]], trained: float, given: float
) -> list[NDArray[np.float32]]:
    """BatchNorm's gamma, beta, mean and variance for another epsilon than it was trained with."""
    gamma, beta, mean, variance = norm
    return [gamma * np.sqrt((variance + given) / (variance + trained)), beta, mean, variance]


# ---- its files


def _a_channel(folder: Path, name: str, value: object) -> NDArray[np.float64]:
    try:
        values = np.broadcast_to(np.asarray(value, np.float64), 3)
    except (ValueError, TypeError):
        values = np.full(3, np.nan)
    if not np.isfinite(values).all():
        raise BackboneWeightsError(
            f"{folder / CONVERTER}: {name} is {value!r}; it is a number, or one a channel"
        )
    return values


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it has more than a megabyte")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneWeightsError(f"{path} is no file of a keras-hub preset: {error}") from error
    if not isinstance(document, dict):
        raise BackboneWeightsError(f"{path} is no file of a keras-hub preset")
    return document
