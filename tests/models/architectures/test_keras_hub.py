"""Presets of keras-hub's backbones as encoders' weights, in the form in which save_to_preset writes
them. Those of VGG16 are in test_fcn.py."""

import json
import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.architectures.efficientnet_lite import (
    STAGES,
    efficientnet_lite0_features,
    load_efficientnet_lite0,
)
from models.architectures.encoders import encode
from models.architectures.keras_applications import _normalized, _take_preset
from models.architectures.keras_hub import open_preset, weights_of
from models.architectures.weights_error import BackboneWeightsError
from models.architectures.without_weights import without_weights

MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
SCALE, OFFSET = 1 / (255 * STD), -MEAN / STD
LITE0 = {
    "stackwise_width_coefficients": [1.0] * 7,
    "stackwise_depth_coefficients": [1.0] * 7,
    "activation": "relu6",
    "stackwise_kernel_sizes": [stage.kernel for stage in STAGES],
    "stackwise_num_repeats": [stage.blocks for stage in STAGES],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [stage.channels for stage in STAGES],
    "stackwise_expansion_ratios": [stage.expansion for stage in STAGES],
    "stackwise_squeeze_and_excite_ratios": [0] * 7,
    "stackwise_strides": [stage.stride for stage in STAGES],
    "stackwise_block_types": ["v1"] * 7,
    "stackwise_force_input_filters": [0] * 7,
    "include_stem_padding": True,
    "stem_conv_padding": "valid",
    "batch_norm_epsilon": 1e-5,
    "projection_activation": None,
}
VGG19 = {"stackwise_num_repeats": [2, 2, 4, 4, 4]}
DENSENET121 = {"stackwise_num_repeats": [6, 12, 24, 16], "compression_ratio": 0.5}


def write_preset(
    folder: Path, backbone: str, config: dict[str, Any], network: keras.Model | None = None
) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"class_name": backbone, "config": config}))
    converter = {"config": {"scale": SCALE.tolist(), "offset": OFFSET.tolist()}}
    (folder / "image_converter.json").write_text(json.dumps(converter))
    if network is None:
        (folder / "model.weights.h5").write_text("no weights")
    else:
        network.save_weights(folder / "model.weights.h5")
    return folder


def with_random_weights(network: keras.Model) -> keras.Model:
    draw = np.random.default_rng(0)
    for weight in network.weights:
        positive = weight.path.endswith(("gamma", "moving_variance"))
        low, high = (0.01, 1.5) if positive else (-0.3, 0.3)
        weight.assign(draw.uniform(low, high, weight.shape))
    return network


def lite0_of_keras_hub() -> keras.Model:
    """Its blocks as keras-hub lays them out: padded as PyTorch does, epsilon 1e-5."""

    def norm(x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.BatchNormalization(epsilon=1e-5)(x)

    def relu6(x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Activation("relu6")(norm(x))

    image = keras.Input((None, None, 3))
    x = keras.layers.ZeroPadding2D(1)(image)
    x = relu6(keras.layers.Conv2D(32, 3, strides=2, use_bias=False)(x))
    ends = []
    for stage in STAGES:
        for number in range(stage.blocks):
            start, stride = x, stage.stride if number == 0 else 1
            if stage.expansion > 1:
                filters = x.shape[-1] * stage.expansion
                x = relu6(keras.layers.Conv2D(filters, 1, use_bias=False)(x))
            x = keras.layers.ZeroPadding2D(stage.kernel // 2)(x)
            x = keras.layers.DepthwiseConv2D(stage.kernel, strides=stride, use_bias=False)(x)
            x = norm(keras.layers.Conv2D(stage.channels, 1, use_bias=False)(relu6(x)))
            if number:
                x = keras.layers.Add()([x, start])
            ends.append(x)
    x = relu6(keras.layers.Conv2D(1280, 1, use_bias=False)(x))
    return keras.Model(image, [*ends, x])


def test_lite0_of_a_preset_sees_what_keras_hubs_does(tmp_path: Path) -> None:
    theirs = with_random_weights(lite0_of_keras_hub())
    preset = write_preset(tmp_path / "lite0", "EfficientNetBackbone", LITE0, theirs)
    image = keras.Input((None, None, 3))
    features = efficientnet_lite0_features(image, str(preset))
    ours = keras.Model(image, list(features.values()))
    picture = np.random.default_rng(1).uniform(0, 255, (1, 128, 128, 3)).astype(np.float32)
    found = keras.Model(image, ours.outputs[:3])(picture)
    ends = [theirs.outputs[block] for block in (0, 2, 4)]
    # Their steps of two begin a pixel earlier; near the border, zeros are padded on other sides.
    for place, (stride, margin) in enumerate(((2, 3), (4, 4), (8, 6))):
        moved = picture[:, stride - 1 :, stride - 1 :] * SCALE + OFFSET
        expected = np.asarray(keras.Model(theirs.input, ends[place])(moved.astype(np.float32)))
        inside = slice(margin, len(expected[0]) - margin)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            np.asarray(found[place])[:, inside, inside] / scale,
            expected[:, inside, inside] / scale,
            atol=1e-5,
        )
    # The rest, whose receptive field is wider than a test's picture, by the weights.
    kernels = [layer.kernel for layer in ours.layers if isinstance(layer, keras.layers.Conv2D)]
    given = [layer.kernel for layer in theirs.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(kernels) == len(given) - 3  # the last stage's block and the head
    for kernel, original in zip(kernels[1:], given[1:], strict=False):
        np.testing.assert_array_equal(kernel, original)


@pytest.mark.parametrize(
    ("name", "config", "module", "bias"),
    [
        ("DenseNet121", DENSENET121, keras.applications.mobilenet, False),
        ("VGG19", VGG19, keras.applications.vgg19, True),
    ],
    ids=["scaled, before a BatchNorm", "BGR, with a bias"],
)
def test_a_first_convolution_is_brought_to_the_pixels_it_is_given(
    tmp_path: Path, name: str, config: dict[str, Any], module: types.ModuleType, bias: bool
) -> None:
    def build() -> keras.Model:
        image = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(4, 3, use_bias=bias)(image)
        return keras.Model(image, x if bias else keras.layers.BatchNormalization()(x))

    theirs, ours = with_random_weights(build()), build()
    backbone = "VGGBackbone" if bias else "DenseNetBackbone"
    preset = write_preset(tmp_path / "preset", backbone, config, theirs)
    _take_preset(ours, preset, name, module)
    picture = np.random.default_rng(1).uniform(0, 255, (1, 8, 9, 3)).astype(np.float32)
    image = keras.Input((None, None, 3))
    given = keras.Model(image, ours(_normalized(image, module)))(picture)
    np.testing.assert_allclose(given, theirs(picture * SCALE + OFFSET), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("encoder", "backbone", "config", "sentence"),
    [
        ("keras:ResNet50", "ResNetBackbone", {}, "ResNet50 has another network: it takes none of"),
        ("mobilenet_v2", "MobileNetBackbone", {}, r"Taken are .* vgg_19_imagenet \(keras:VGG19\)"),
        ("efficientnet_lite0", "EfficientNetBackbone", LITE0 | {"activation": "swish"}, "only tha"),
        (
            "efficientnet_lite0",
            "EfficientNetBackbone",
            LITE0 | {"stackwise_width_coefficients": [1.1] * 7},
            "it takes only that of efficientnet_lite0_ra_imagenet",
        ),
        (
            "efficientnet_lite0",
            "EfficientNetBackbone",
            LITE0 | {"batch_norm_epsilon": "small"},
            "batch_norm_epsilon is 'small'; it is a number between 0 and 1",
        ),
        ("keras:VGG16", "VGGBackbone", VGG19, "it takes only that of vgg_16_imagenet"),
        ("keras:DenseNet121", "DenseNetBackbone", DENSENET121 | {"growth_rate": 48}, "only that"),
    ],
)
def test_a_preset_of_another_network_is_refused(
    tmp_path: Path, encoder: str, backbone: str, config: dict[str, Any], sentence: str
) -> None:
    preset = write_preset(tmp_path / "preset", backbone, config)
    with pytest.raises(BackboneWeightsError, match=sentence):
        open_preset(preset, encoder)


@pytest.mark.parametrize(
    ("encoder", "backbone", "config"),
    [
        ("efficientnet_lite0", "EfficientNetBackbone", LITE0),
        ("keras:VGG16", "VGGBackbone", {"stackwise_num_repeats": [2, 2, 3, 3, 3]}),
    ],
)
def test_a_preset_whose_weights_are_others_is_refused(
    tmp_path: Path, encoder: str, backbone: str, config: dict[str, Any]
) -> None:
    image = keras.Input((None, None, 3))
    small = keras.Model(image, keras.layers.Conv2D(4, 3)(image))
    with without_weights():
        network = keras.Model(image, list(encode(image, encoder, None).values()))

    def load(preset: str) -> None:
        if encoder == "efficientnet_lite0":
            load_efficientnet_lite0(network, preset)
        else:
            _take_preset(network, Path(preset), "VGG16", keras.applications.vgg16)

    for number, (saved, sentence) in enumerate(((None, "is no weights file"), (small, "not fit"))):
        preset = write_preset(tmp_path / str(number), backbone, config, saved)
        with pytest.raises(BackboneWeightsError, match=sentence):
            load(str(preset))


def test_layers_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    x = image = keras.Input((None, None, 1))
    for _ in range(12):
        x = keras.layers.Conv2D(1, 1)(x)
    network = with_random_weights(keras.Model(image, x))
    network.save_weights(tmp_path / "model.weights.h5")
    found = weights_of(tmp_path / "model.weights.h5", [("conv2d", [(1, 1, 1, 1), (1,)])] * 12)
    for layer, arrays in zip(network.layers[1:], found, strict=True):
        np.testing.assert_array_equal(layer.kernel, arrays[0])
