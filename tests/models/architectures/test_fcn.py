"""Staged training, and weights of VGG16."""

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from models.architectures.backbones import (
    VGG16_CONVOLUTIONS,
    VGG16_WIDTHS,
    load_vgg16,
)
from models.architectures.fcn import initialize_from_coarser
from models.architectures.networks import build_network
from models.architectures.weights_error import BackboneWeightsError

WIDTH = 2
MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)


def fcn(name: str, *, classes: int = 3, width: int = WIDTH) -> keras.Model:
    return build_network(name, classes=classes, channels=3, width=width).model


def trained(name: str) -> keras.Model:
    """As if after a training: no weight is zero."""
    keras.utils.set_random_seed(5)
    network = fcn(name)
    draw = np.random.default_rng(0)
    for weight in network.trainable_weights:
        weight.assign(weight + draw.normal(0, 0.05, weight.shape))
    return network


@pytest.mark.parametrize(("finer", "coarser"), [("fcn16s", "fcn32s"), ("fcn8s", "fcn16s")])
def test_a_finer_net_starts_with_the_coarser_ones_predictions(finer: str, coarser: str) -> None:
    """To the bit in the scores; in full size two bilinear steps for one round the corners of the
    interpolation."""
    before, after = trained(coarser), fcn(finer)
    initialize_from_coarser(after, before)
    image = np.random.default_rng(1).uniform(0, 255, (1, 160, 192, 3)).astype(np.float32)
    fused = after.get_layer("fuse_pool4" if finer == "fcn16s" else "fuse_pool3")
    parts = keras.Model(after.input, [fused.output, fused.input[0]])
    np.testing.assert_array_equal(*parts(image))
    first, second = np.asarray(before(image)), np.asarray(after(image))
    assert np.abs(first - second).max() < 0.3 * np.ptp(first)
    assert np.mean(first.argmax(-1) == second.argmax(-1)) > 0.97


def test_the_run_of_another_network_is_refused() -> None:
    with pytest.raises(BackboneWeightsError, match="fcn8s starts from a run of fcn16s"):
        initialize_from_coarser(fcn("fcn8s"), fcn("fcn32s"))


def test_a_run_of_other_classes_or_width_is_refused() -> None:
    for other in (fcn("fcn32s", classes=4), fcn("fcn32s", width=1)):
        with pytest.raises(BackboneWeightsError, match="one width and the same classes"):
            initialize_from_coarser(fcn("fcn16s"), other)


def classifier(top: bool = True) -> keras.Model:
    """VGG16 as keras.applications builds it, for images of 224 pixels, its widths scaled down."""
    x = image = keras.Input((224, 224, 3) if top else (None, None, 3))
    stages = zip(VGG16_CONVOLUTIONS, VGG16_WIDTHS, strict=True)
    for stage, (convolutions, multiple) in enumerate(stages, start=1):
        for number in range(1, convolutions + 1):
            name = f"block{stage}_conv{number}"
            x = keras.layers.Conv2D(
                WIDTH * multiple, 3, padding="same", activation="relu", name=name
            )(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{stage}_pool")(x)
    if top:
        x = keras.layers.Flatten(name="flatten")(x)
        for name in ("fc1", "fc2"):
            x = keras.layers.Dense(64 * WIDTH, activation="relu", name=name)(x)
        x = keras.layers.Dense(5, name="predictions")(x)
    return keras.Model(image, x, name="vgg16")


def write_weights(model: keras.Model, path: Path) -> None:
    """In Keras' present layout, or in that of the files that VGG16 is published as."""
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
        return
    with h5py.File(path, "w") as file:
        for layer in model.layers:
            group = file.create_group(layer.name)
            for kind, weight in zip("Wb", layer.get_weights(), strict=False):
                group[f"{layer.name}/{layer.name}_{kind}_1:0"] = weight


@pytest.fixture(scope="module")
def vgg16() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = classifier()
    for weight in model.weights:
        weight.assign(weight + np.random.default_rng(0).normal(0, 0.02, weight.shape))
    return model


@pytest.mark.parametrize("file_name", ["vgg16.weights.h5", "vgg16_tf_kernels.h5"])
def test_the_classifiers_layers_become_convolutions(
    vgg16: keras.Model, file_name: str, tmp_path: Path
) -> None:
    """On a 224-pixel image the middle of fc7's 7×7 map is what the classifier's fc2 says."""
    write_weights(vgg16, tmp_path / file_name)
    network = build_network(
        "fcn8s", classes=3, channels=3, width=WIDTH, weights=str(tmp_path / file_name)
    ).model
    image = np.random.default_rng(2).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
    fc2 = keras.Model(vgg16.input, vgg16.get_layer("fc2").output)(image[..., ::-1] - MEAN_BGR)
    fc7 = keras.Model(network.input, network.get_layer("fc7_relu").output)(image)
    assert np.ptp(fc2) > 0
    np.testing.assert_allclose(fc7[:, 3, 3], fc2, rtol=1e-3, atol=1e-3 * np.ptp(fc2))


def test_weights_without_the_classifier_fill_the_trunk_alone(tmp_path: Path) -> None:
    trunk = classifier(top=False)
    path = tmp_path / "notop.weights.h5"
    trunk.save_weights(path)
    for name in ("fcn32s", "segnet", "unet"):
        keras.utils.set_random_seed(1)
        network = build_network(name, classes=3, channels=1, width=WIDTH, encoder="vgg16").model
        before = network.get_layer("fc6").get_weights() if name == "fcn32s" else []
        load_vgg16(network, str(path))
        last = "block5_conv3"
        for ours, theirs in zip(
            network.get_layer(last).get_weights(), trunk.get_layer(last).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        after = network.get_layer("fc6").get_weights() if name == "fcn32s" else []
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old, new)


def test_weights_of_another_width_or_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "notop.weights.h5"
    classifier(top=False).save_weights(path)
    with pytest.raises(BackboneWeightsError, match="fit width = 64"):
        build_network("fcn32s", classes=3, channels=3, width=1, weights=str(path))
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(other)
    with pytest.raises(BackboneWeightsError, match="13 convolutions of VGG16"):
        build_network("segnet", classes=3, channels=3, width=1, weights=str(other))
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(BackboneWeightsError, match="is not an HDF5 file"):
        build_network("segnet", classes=3, channels=3, width=1, weights=str(tmp_path / "text.h5"))
    with pytest.raises(BackboneWeightsError, match="no file of VGG16 weights at"):
        build_network("segnet", classes=3, channels=3, width=1, weights=str(tmp_path / "none.h5"))


# ---- presets of keras-hub, as task.save_to_preset writes them


def write_preset(folder: Path, trunk: keras.Model, **changes: Any) -> Path:
    """`changes` replaces the class of the backbone, its repeats, or the converter (None: none)."""
    folder.mkdir()
    trunk.save_weights(folder / "model.weights.h5")
    config = {
        "module": "keras_hub.src.models.vgg.vgg_backbone",
        "class_name": changes.get("class_name", "VGGBackbone"),
        "config": {
            "stackwise_num_repeats": changes.get("repeats", [2, 2, 3, 3, 3]),
            "stackwise_num_filters": [WIDTH * multiple for multiple in VGG16_WIDTHS],
            "image_shape": [None, None, 3],
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    converter = changes.get("converter", {"scale": SCALE, "offset": OFFSET})
    if converter is not None:
        document = {"class_name": "VGGImageConverter", "config": converter}
        (folder / "image_converter.json").write_text(json.dumps(document))
    return folder


MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
SCALE, OFFSET = (1 / (255 * STD)).tolist(), (-MEAN / STD).tolist()


def test_a_preset_of_keras_hub_starts_the_encoder_on_the_pixels_it_was_trained_on(
    tmp_path: Path,
) -> None:
    keras.utils.set_random_seed(4)
    trunk = classifier(top=False)
    for weight in trunk.weights:
        weight.assign(weight + np.random.default_rng(1).normal(0, 0.02, weight.shape))
    image = np.random.default_rng(2).uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
    theirs = keras.Model(trunk.input, trunk.get_layer("block3_conv3").output)
    expected = np.asarray(theirs(image * SCALE + OFFSET))
    preset = write_preset(tmp_path / "preset", trunk)
    network = build_network("segnet", classes=3, channels=3, width=WIDTH, weights=str(preset)).model
    ours = keras.Model(network.input, network.get_layer("block1_conv1").output)(image)
    first = keras.Model(trunk.input, trunk.get_layer("block1_conv1").output)
    before = np.maximum(np.asarray(ours), 0)  # ours has BatchNorm and ReLU behind it
    inside = slice(1, -1)  # their zeros around the picture are another gray than ours, by a hair
    np.testing.assert_allclose(
        before[:, inside, inside], first(image * SCALE + OFFSET)[:, inside, inside], atol=1e-3
    )
    unet = build_network(
        "unet", classes=3, channels=3, width=WIDTH, encoder="vgg16", weights=str(preset)
    ).model
    inner = slice(12, -12)
    given = keras.Model(unet.input, unet.get_layer("block3_conv3_relu").output)(image)
    np.testing.assert_allclose(
        np.asarray(given)[:, inner, inner], expected[:, inner, inner], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"class_name": "ResNetBackbone"},
            "keras-hub's ResNetBackbone, and the encoder vgg16 has another",
        ),
        ({"repeats": [2, 2, 4, 4, 4]}, "it takes only that of vgg_16_imagenet"),
        ({"converter": None}, "has no image_converter.json"),
        ({"converter": {"scale": "large"}}, "scale is 'large'; it is a number"),
    ],
)
def test_a_preset_that_does_not_fit_is_one_sentence(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    preset = write_preset(tmp_path / "preset", classifier(top=False), **changes)
    with pytest.raises(BackboneWeightsError, match=sentence):
        build_network("segnet", classes=3, channels=3, width=WIDTH, weights=str(preset))
    with pytest.raises(BackboneWeightsError, match="the encoder mobilenet_v2 has another network"):
        build_network("unet_mobile", classes=3, channels=3, weights=str(preset))
