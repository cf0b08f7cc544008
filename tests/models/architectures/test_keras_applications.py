"""Backbones by name: their pixels, their features, their weights; and those that do not fit."""

import types
from pathlib import Path

import keras
import numpy as np
import pytest

from models.architectures.keras_applications import (
    UnfitBackboneError,
    _normalized,
    keras_features,
)
from models.architectures.networks import build_network, custom_objects
from models.architectures.receptive_field import receptive_field_radius, receptive_fields
from models.architectures.weights_error import BackboneWeightsError
from models.architectures.without_weights import without_weights

APPLICATIONS = keras.applications


@pytest.mark.parametrize(
    "module",
    [
        APPLICATIONS.resnet50,
        APPLICATIONS.mobilenet,
        APPLICATIONS.densenet,
        APPLICATIONS.efficientnet,
    ],
    ids=lambda module: module.__name__.rpartition(".")[2],
)
def test_pixels_are_normalized_as_the_module_says(module: types.ModuleType) -> None:
    image = keras.Input((None, None, 3))
    network = keras.Model(image, _normalized(image, module))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 5, 3)).astype(np.float32)
    theirs = module.preprocess_input(pixels.copy(), data_format="channels_last")
    np.testing.assert_allclose(network(pixels), theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "channels"),
    [("MobileNetV2", [16, 24, 32, 96, 320]), ("ResNet50", [64, 256, 512, 1024, 2048])],
)
def test_features_are_the_narrow_ends_of_their_strides(name: str, channels: list[int]) -> None:
    image = keras.Input((None, None, 3))
    with without_weights():
        features = keras_features(image, name, None)
    assert list(features) == [2, 4, 8, 16, 32]
    assert [tensor.shape[-1] for tensor in features.values()] == channels


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("EfficientNetB99", "has no backbone 'EfficientNetB99'; it has ConvNeXtBase, .*VGG16"),
        ("InceptionV3", "makes 125×125 of 256×256 pixels at stride 2, not 128×128"),
        ("MobileNetV3Small", "does not fit: how far a Add layer sees is not known; take another"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(name: str, sentence: str) -> None:
    with (
        pytest.raises(UnfitBackboneError, match=sentence),
        without_weights(),
    ):
        keras_features(keras.Input((None, None, 3)), name, None)


def test_a_network_on_one_starts_from_a_file_and_is_kept_in_one(tmp_path: Path) -> None:
    theirs = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    theirs.save_weights(tmp_path / "kept.weights.h5")

    def build(weights: str) -> keras.Model:
        return build_network(
            "unet_mobile", classes=2, channels=1, encoder="keras:MobileNet", weights=weights
        ).model

    network = build(str(tmp_path / "kept.weights.h5"))
    for name in ("conv1", "conv_dw_1", "conv_pw_13"):
        kept = theirs.get_layer(name).get_weights()
        np.testing.assert_array_equal(network.get_layer(name).get_weights(), kept)
    image = np.random.default_rng(0).uniform(0, 255, (1, 21, 35, 1)).astype(np.float32)
    logits = network(image)
    assert logits.shape == (1, 21, 35, 2)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras", custom_objects=custom_objects())
    np.testing.assert_array_equal(logits, loaded(image))
    with pytest.raises(BackboneWeightsError, match="no backbone weights at"):
        build(str(tmp_path / "none.h5"))


def test_squeeze_and_excitation_sees_everything_and_keeps_the_stride() -> None:
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(image)
    weight = keras.layers.GlobalAveragePooling2D()(x)
    weight = keras.layers.Conv2D(4, 1)(keras.layers.Reshape((1, 1, 4))(weight))
    network = keras.Model(image, keras.layers.Multiply()([x, weight]))
    assert receptive_field_radius(network) is None
    assert receptive_fields(network)[id(network.outputs[0])].step == 2
