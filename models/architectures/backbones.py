"""Encoders trained on ImageNet, cut into the feature maps a decoder wants."""

import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from models.architectures.blocks import BATCH_NORM_MOMENTUM, BatchNorm, gray_to_rgb, max_pool
from models.architectures.keras_hub import (
    PixelForm,
    is_preset,
    on_other_pixels,
    open_preset,
    other_backbone,
)
from models.architectures.loading import load_saved_model
from models.architectures.weights_error import BackboneWeightsError

# ---- MobileNetV2


def mobilenet_v2_features(
    image: keras.KerasTensor, weights: str | None
) -> dict[int, keras.KerasTensor]:
    """Map stride to feature map, for strides 2, 4, 8, 16 and 32 (16, 24, 32, 96 and 160 channels).

    Each is the last block's output at its stride, the narrow end of the inverted residual (Sandler
    et al. 2018, table 2); the wide layers behind block 15 are left out: half the parameters, and
    made for classification. `weights` is "imagenet" (Keras downloads them), the path of a
    `load_weights` file, the folder of an exported model with this encoder, or None for a random
    start. Raises BackboneWeightsError.
    """
    original = _mobilenet_v2(weights)
    # MobileNetV2 has no width or height of its own, so its layers can be laid over another input.
    trunk = keras.models.clone_model(original, input_tensors=image, clone_function=_own_layer)
    if weights is not None:
        trunk.set_weights(original.get_weights())
    ends = {
        2: "expanded_conv_project_BN",
        4: "block_2_add",
        8: "block_5_add",
        16: "block_12_add",
        32: "block_15_add",
    }
    return {stride: trunk.get_layer(end).output for stride, end in ends.items()}


def _own_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A copy of a layer; of a BatchNormalization one of ours, with a momentum that fits a short
    fine-tuning.

    Keras builds these with 0.999: after a few hundred steps the statistics still are those of
    ImageNet.
    """
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        return BatchNorm.from_config(config | {"momentum": BATCH_NORM_MOMENTUM})
    return type(layer).from_config(config)


def _mobilenet_v2(weights: str | None) -> keras.Model:
    if weights is None:
        return keras.applications.MobileNetV2(
            include_top=False, weights=None, input_shape=(None, None, 3)
        )
    if weights == "imagenet":
        return _downloaded()
    if is_preset(Path(weights)):
        raise other_backbone(Path(weights), "mobilenet_v2")
    if Path(weights).is_dir():
        return _with_encoder_of(Path(weights))
    if not Path(weights).is_file():
        raise BackboneWeightsError(
            f"no backbone weights at {weights}; give the path of a weights file for MobileNetV2 "
            "without its top, an exported model's folder, or 'imagenet' to let Keras fetch them"
        )
    model = _mobilenet_v2(None)
    try:
        model.load_weights(weights)
    except (ValueError, OSError) as error:
        raise BackboneWeightsError(
            f"{weights} does not fit MobileNetV2 without its top: {error}"
        ) from error
    return model


def _with_encoder_of(artefact: Path) -> keras.Model:
    """MobileNetV2 with the weights that a trained model of ours ended with; those behind block 15,
    which it lacks, stay random."""
    kept = exported_variables(artefact)
    model = _mobilenet_v2(None)
    for weight in model.weights:
        if weight.path.startswith(("block_16", "Conv_1")):
            continue
        if weight.path not in kept or kept[weight.path].shape != weight.shape:
            raise BackboneWeightsError(
                f"{artefact} has another encoder than MobileNetV2 (no {weight.path} of "
                f"{tuple(weight.shape)}); give a model that was trained with network.encoder = "
                "'mobilenet_v2'"
            )
        weight.assign(kept[weight.path])
    return model


def exported_variables(artefact: Path) -> dict[str, NDArray[np.generic]]:
    """Give the weights of an exported model of ours, by their paths in its network. Raises
    BackboneWeightsError."""
    try:
        loaded = load_saved_model(artefact)
        signature = loaded.signatures["serving_default"]
    except (OSError, KeyError) as error:
        raise BackboneWeightsError(
            f"{artefact} holds no model that segtrain export wrote; give MODEL/VERSION, as "
            "models/zoo/nuclei/1"
        ) from error
    return {v.name.removesuffix(":0"): v.numpy() for v in signature.variables}


def _downloaded() -> keras.Model:
    try:
        return keras.applications.MobileNetV2(include_top=False, input_shape=(None, None, 3))
    except Exception as error:  # Keras raises nothing narrower where a download fails
        raise BackboneWeightsError(
            f"Keras could not fetch the ImageNet weights ({error}); give the path of a weights "
            "file instead"
        ) from error


# ---- VGG16

VGG16_CONVOLUTIONS = (2, 2, 3, 3, 3)  # a stage (Simonyan and Zisserman 2015, table 1, column D)
VGG16_WIDTHS = (1, 2, 4, 8, 8)  # times `width`, which is 64 in the paper
_IMAGENET_MEAN_RGB = (
    123.68,
    116.779,
    103.939,
)  # what the published weights expect to be subtracted
_PIXEL_SCALE = 64.0  # about one standard deviation, so that a random start gets inputs near 1


@dataclass(frozen=True)
class Vgg16Stages:
    """By stride: each stage's last `features`, what its pooling makes of them, and that pooling's
    `indices` if wanted."""

    features: dict[int, keras.KerasTensor]
    pooled: dict[int, keras.KerasTensor]
    indices: dict[int, keras.KerasTensor]


def vgg16_stages(
    image: keras.KerasTensor, width: int, *, batch_norm: bool = False, with_indices: bool = False
) -> Vgg16Stages:
    """The 13 convolutions of VGG16 on pixel values 0–255, random until `load_vgg16`.

    `features` and `indices` are at strides 1 to 16, `pooled` at 2 to 32. `batch_norm` puts one
    behind each convolution, as SegNet does.
    """
    x = gray_to_rgb(image)
    offset = [-mean / _PIXEL_SCALE for mean in _IMAGENET_MEAN_RGB]
    x = keras.layers.Rescaling(1 / _PIXEL_SCALE, offset=offset, name="scale")(x)
    stages = Vgg16Stages({}, {}, {})
    for stage, (convolutions, multiple) in enumerate(
        zip(VGG16_CONVOLUTIONS, VGG16_WIDTHS, strict=True), start=1
    ):
        for number in range(1, convolutions + 1):
            x = _vgg16_convolution(x, width * multiple, f"block{stage}_conv{number}", batch_norm)
        stride = 2 ** (stage - 1)
        stages.features[stride] = x
        x, indices = max_pool(x, f"block{stage}_pool", with_indices)
        stages.pooled[2 * stride] = x
        if indices is not None:
            stages.indices[stride] = indices
    return stages


def _vgg16_convolution(
    x: keras.KerasTensor, filters: int, name: str, batch_norm: bool
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal", name=name)(
        x
    )
    if batch_norm:
        x = BatchNorm(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def load_vgg16(network: keras.Model, weights: str) -> None:
    """Put VGG16's weights into a network that was built on `vgg16_stages`.

    `weights` is a file of `keras.applications.VGG16` (`.weights.h5`, or the older `.h5`), the
    folder of a preset of keras-hub's VGG16, or "imagenet" (Keras downloads it). Where the network
    has fc6 and fc7 and the file the classifier's fc1 and fc2, these become convolutions (Long et
    al. 2015, section 3.1). Raises BackboneWeightsError.
    """
    wants_classifier = any(layer.name == "fc6" for layer in network.layers)
    form: PixelForm | None = None
    if weights == "imagenet":
        kept = _downloaded_vgg16(wants_classifier)
    elif is_preset(Path(weights)):
        preset = open_preset(Path(weights), "vgg16")
        kept, form = read_vgg16(str(preset.weights)), preset.pixels
    else:
        kept = read_vgg16(weights)
    names = {name: name for name in _vgg16_names()}
    if wants_classifier and "fc1" in kept:
        names |= {"fc6": "fc1", "fc7": "fc2"}
    for ours, theirs in names.items():
        layer = network.get_layer(ours)
        kernel, bias = kept[theirs]
        shape = tuple(layer.kernel.shape)
        if kernel.size != np.prod(shape) or bias.shape != (shape[-1],):
            raise BackboneWeightsError(
                f"{theirs} of {weights} has a kernel of {kernel.shape}, the network's {ours} one "
                f"of {shape}; VGG16's published weights fit width = 64"
            )
        # A fully connected layer over (7, 7, channels) is a 7×7 convolution: the same numbers in
        # the same order.
        kernel = kernel.reshape(shape)
        if ours == "block1_conv1":
            kernel, bias = _on_our_pixels(kernel, bias, form)
        layer.set_weights([kernel, bias])


def _on_our_pixels(
    kernel: NDArray[np.float32], bias: NDArray[np.float32], form: PixelForm | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first convolution for the pixels that `vgg16_stages` gives it, of one that was trained on
    another form of them; None is the publication's: BGR, less its mean."""
    if form is None:
        return kernel[:, :, ::-1] * np.float32(_PIXEL_SCALE), bias
    mean = np.array(_IMAGENET_MEAN_RGB)
    ours = PixelForm(np.full(3, 1 / _PIXEL_SCALE), -mean / _PIXEL_SCALE)
    moved, added = on_other_pixels(kernel, form, ours)
    return moved, bias + added


def read_vgg16(path: str) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Kernel and bias by layer name, of a VGG16 weights file with or without its classifier.

    Raises BackboneWeightsError.
    """
    groups: dict[str, dict[int, NDArray[np.float32]]] = {}

    def collect(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset) and entry.size:
            place = name.rpartition("/")[0].removesuffix("/vars")
            groups.setdefault(place, {})[min(entry.ndim, 2)] = np.asarray(entry)

    if not Path(path).is_file():
        raise BackboneWeightsError(
            f"no file of VGG16 weights at {path}; give the path of a weights file of "
            "keras.applications.VGG16, or 'imagenet' to let Keras fetch them"
        )
    try:
        with h5py.File(path) as file:
            file.visititems(collect)
    except OSError as error:
        raise BackboneWeightsError(
            f"{path} is not an HDF5 file ({error}); give a weights file of keras.applications.VGG16"
        ) from error
    # Older files name the layers; newer ones number them by kind: conv2d, conv2d_1, …, dense,
    # dense_1, …
    ordered = sorted(groups, key=_kind_and_number)
    kept = {
        name: (groups[place][2], groups[place][1])
        for name, place in zip((*_vgg16_names(), "fc1", "fc2"), ordered, strict=False)
        if set(groups[place]) == {1, 2}
    }
    if not kept.keys() >= set(_vgg16_names()):
        raise BackboneWeightsError(
            f"{path} does not hold the 13 convolutions of VGG16; give a weights file of "
            "keras.applications.VGG16"
        )
    return kept


def _kind_and_number(place: str) -> list[str | int]:
    last = place.rpartition("/")[2]
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", last)]


def _vgg16_names() -> list[str]:
    return [
        f"block{stage}_conv{number}"
        for stage, convolutions in enumerate(VGG16_CONVOLUTIONS, start=1)
        for number in range(1, convolutions + 1)
    ]


def _downloaded_vgg16(
    classifier: bool,
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    try:
        model = keras.applications.VGG16(include_top=classifier)
    except Exception as error:  # Keras raises nothing narrower where a download fails
        raise BackboneWeightsError(
            f"Keras could not fetch the ImageNet weights ({error}); give the path of a weights "
            "file instead"
        ) from error
    return {layer.name: tuple(layer.get_weights()) for layer in model.layers if layer.weights}
