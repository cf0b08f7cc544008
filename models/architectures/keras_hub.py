"""Presets of keras-hub's backbones, as `save_to_preset` writes them or its hub keeps them: a local
folder, read without keras-hub, and never fetched."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.architectures.weights_error import BackboneWeightsError

CONFIG, WEIGHTS, CONVERTER = "config.json", "model.weights.h5", "image_converter.json"
_VGG16 = [2, 2, 3, 3, 3]
_MOST_BYTES = 2**20  # of a JSON file


@dataclass(frozen=True)
class PixelForm:
    """What weights were trained on: pixel values 0–255 RGB times `scale` and plus `offset`, a value
    each a channel."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]


def is_preset(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def backbone_of(folder: Path) -> str:
    """The class of its backbone, such as ResNetBackbone. Raises BackboneWeightsError."""
    return str(_read(folder / CONFIG).get("class_name"))


def vgg16_preset(folder: Path) -> tuple[Path, PixelForm]:
    """The weights file of a preset of VGG16, and what its pixels are. Raises BackboneWeightsError
    for another backbone, and where the preset does not say how its pixels are scaled."""
    name, config = backbone_of(folder), _read(folder / CONFIG).get("config", {})
    if name != "VGGBackbone" or list(config.get("stackwise_num_repeats", [])) != _VGG16:
        raise BackboneWeightsError(
            f"{folder} is a preset of keras-hub's {name}; the encoder vgg16 takes those of its "
            "VGGBackbone with 2, 2, 3, 3 and 3 convolutions, such as vgg_16_imagenet"
        )
    if not (folder / CONVERTER).is_file():
        raise BackboneWeightsError(
            f"{folder} has no {CONVERTER}, so that nothing says how the pixels of its training "
            "were scaled; save it with its preprocessor, as task.save_to_preset does"
        )
    converter = _read(folder / CONVERTER).get("config", {})
    scale, offset = converter.get("scale"), converter.get("offset")
    return folder / WEIGHTS, PixelForm(
        _a_channel(folder, "scale", 1.0 if scale is None else scale),
        _a_channel(folder, "offset", 0.0 if offset is None else offset),
    )


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
