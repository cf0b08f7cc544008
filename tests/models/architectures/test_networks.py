"""What every network must do with every upsampling, in one class; each row of the table is put
through all of it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures.network import Network
from models.architectures.networks import build_by_options, custom_objects
from models.architectures.options import NetworkOptions
from models.architectures.receptive_field import receptive_fields
from models.architectures.table import NETWORKS, SCALED_BY_WIDTH

CLASSES = 3
SEED = 7

COMBINATIONS: dict[str, dict[str, Any]] = {
    f"{name} {upsampling}": {"name": name, "upsampling": upsampling}
    for name, entry in NETWORKS.items()
    for upsampling in entry.upsamplings
} | {
    f"unet {encoder} {upsampling}": {"name": "unet", "encoder": encoder, "upsampling": upsampling}
    for encoder, upsampling in (
        ("mobilenet_v2", "bilinear"),
        ("efficientnet_lite0", "bilinear"),
        ("vgg16", "max_unpool"),
    )
}
COMBINATIONS |= {
    f"{name} feature_norm": {"name": name, "encoder": "mobilenet_v2", "feature_norm": True}
    for name in ("unet", "unet_mobile")
}
COMBINATIONS |= {
    f"unet valid {upsampling}": {"name": "unet", "padding": "valid", "upsampling": upsampling}
    for upsampling in ("transposed", "max_unpool")
}


@dataclass(frozen=True)
class Built:
    """A network, and the weights it began with."""

    network: Network
    start: list[NDArray[np.float32]]


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def options_of(title: str) -> NetworkOptions:
    options = NetworkOptions.model_validate({"dropout": 0.0, **COMBINATIONS[title]})
    width = 2 if options.encoder in SCALED_BY_WIDTH else 64
    return options.model_copy(update={"width": width})


def build(title: str, channels: int = 3) -> Network:
    keras.utils.set_random_seed(SEED)
    return build_by_options(CLASSES, channels, options_of(title))


def without_zero_kernels(network: keras.Model) -> None:
    """FCN's scores begin at zero, where nothing that the network computes would show."""
    draw = np.random.default_rng(SEED)
    for weight in network.weights:
        if weight.path.endswith("kernel") and not np.any(weight):
            weight.assign(draw.normal(size=weight.shape))


def loss(network: keras.Model, images: NDArray[np.float32], masks: NDArray[np.int64]) -> tf.Tensor:
    logits = network(images, training=True)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(masks, logits))


def logits_function(network: keras.Model) -> Any:
    channels = network.input_shape[-1]
    spec = tf.TensorSpec((None, None, None, channels), tf.float32, name="images")
    return tf.function(lambda images: network(images, training=False), input_signature=[spec])


@pytest.fixture(scope="module", params=COMBINATIONS)
def title(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def built(title: str) -> Built:
    network = build(title)
    start = network.model.get_weights()
    without_zero_kernels(network.model)
    return Built(network, start)


@pytest.fixture(scope="module")
def network(built: Built) -> keras.Model:
    return built.network.model


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that collects a SavedModel, an image and its logits from each network."""
    return tmp_path_factory.mktemp("exports")


class TestEveryNetwork:
    def test_logits_have_the_images_size_whatever_the_batch(self, network: keras.Model) -> None:
        for size in ((1, 1), (3, 40), (31, 65)):
            images = noise(2, *size, 3)
            logits = np.asarray(network(images, training=False))
            assert logits.shape == (2, *size, CLASSES)
            assert np.isfinite(logits).all()
        alone = network(images[1:], training=False)
        np.testing.assert_allclose(logits[1:], alone, rtol=1e-3, atol=1e-3 * np.abs(alone).max())

    def test_its_seed_makes_it_again_and_a_training_step_lowers_the_loss(
        self, title: str, built: Built
    ) -> None:
        model = build(title).model
        for first, second in zip(built.start, model.get_weights(), strict=True):
            np.testing.assert_array_equal(first, second)
        # Halves of one strong colour each; the class is the colour.
        masks = np.random.default_rng(0).integers(0, CLASSES, (4, 1, 2)).repeat(32, 1).repeat(32, 2)
        images = np.float32(200) * np.eye(CLASSES, dtype=np.float32)[masks]
        images += noise(4, 32, 64, 3) / 10
        weights = [weight.value for weight in model.trainable_weights]
        with tf.GradientTape() as tape:
            before = loss(model, images, masks)
        gradients = tape.gradient(before, weights)
        # As far down the slope as should take a hundredth of the loss away, if it were straight.
        rate = 0.01 * before / tf.linalg.global_norm(gradients) ** 2
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(rate * gradient)
        assert 0.98 * before < loss(model, images, masks) < before

    def test_gray_images_are_taken_in_mixed_precision(self, title: str) -> None:
        keras.config.set_dtype_policy("mixed_float16")
        try:
            gray = build(title, channels=1).model
        finally:
            keras.config.set_dtype_policy("float32")
        with tf.GradientTape() as tape:
            logits = gray(noise(2, 33, 20, 1), training=True)
            loss = tf.reduce_mean(tf.square(logits - 1))
        gradients = tape.gradient(loss, [weight.value for weight in gray.trainable_weights])
        assert logits.dtype == tf.float32
        assert logits.shape == (2, 33, 20, CLASSES)
        assert np.isfinite(logits).all()
        assert all(gradient is not None for gradient in gradients)

    def test_a_keras_file_gives_the_same_logits(self, network: keras.Model, tmp_path: Path) -> None:
        path = tmp_path / "network.keras"
        network.save(path)
        loaded = keras.models.load_model(path, custom_objects=custom_objects())
        images = noise(1, 45, 30, 3)
        np.testing.assert_array_equal(network(images), loaded(images))

    def test_its_facts_are_those_of_the_model(self, built: Built) -> None:
        network = built.network
        model, encoder = network.model, network.encoder_layers
        assert (network.channels, network.parameters) == (3, model.count_params())
        fields = receptive_fields(model).values()
        assert max(field.step for field in fields) == network.stride
        weighted = [layer.name for layer in model.layers if layer.weights]
        assert weighted[0] in encoder
        assert weighted[-1] not in encoder
        assert encoder < set(weighted)
        assert [layer.name for layer in network.encoder()] == [n for n in weighted if n in encoder]
        levels = network.decoder_levels
        outputs = [model.get_layer(name).output for name in levels.values()]
        image = noise(1, network.stride, 2 * network.stride, 3)
        sizes = (
            [part.shape[1:3] for part in keras.Model(model.input, outputs)(image)] if levels else []
        )
        assert sizes == [(network.stride // s, 2 * network.stride // s) for s in levels]

    def test_no_pixel_beyond_the_radius_changes_the_center(self, built: Built) -> None:
        """Beyond the radius the centre has no gradient, and other pixels change nothing; within it
        has a gradient."""
        network, radius = built.network, built.network.receptive_field_radius
        assert radius is not None
        size = 2 * (radius + 40)
        pixels, center = noise(1, 16, size, 3), size // 2
        image = tf.constant(pixels)
        with tf.GradientTape() as tape:
            tape.watch(image)
            logits = network(image, training=False)[:, 8, center]
            # Sums of squares of all logits at the centre: no single cancellation hides a path.
            strength = tf.reduce_sum(tf.square(logits))
        reached = np.abs(tape.gradient(strength, image)).sum(axis=(0, 1, 3)) > 0
        distance = np.abs(np.arange(size) - center)
        assert distance[reached].max() <= radius
        assert distance[reached].max() >= 0.5 * radius, "the radius is computed far too large"
        # Where a maximum was found has no gradient, so pixels are changed too.
        other = np.where((distance > radius)[:, np.newaxis], noise(1, 16, size, 3, seed=1), pixels)
        far = network(other, training=False)[:, 8, center]
        np.testing.assert_allclose(far, logits, atol=1e-5 * np.abs(logits).max())

    def test_it_can_be_exported(self, network: keras.Model, title: str, exports: Path) -> None:
        folder = exports / title.replace(" ", "-")
        module = tf.Module()
        module.weights = [weight.value for weight in network.weights]
        function = logits_function(network)
        tf.saved_model.save(module, str(folder), signatures={"serving_default": function})
        images = noise(1, 21, 35, 3)
        np.savez(exports / f"{folder.name}.npz", images=images, logits=function(images))
        assert (folder / "saved_model.pb").is_file()


CHILD = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf

for kept in sorted(Path(sys.argv[1]).glob("*.npz")):
    arrays = np.load(kept)
    signature = tf.saved_model.load(str(kept.with_suffix(""))).signatures["serving_default"]
    (logits,) = signature(images=tf.constant(arrays["images"])).values()
    difference = np.abs(logits - arrays["logits"]).max() / np.abs(arrays["logits"]).max()
    print(kept.stem, float(difference))
"""


def test_every_export_gives_the_same_logits_in_a_fresh_process(exports: Path) -> None:
    """One process for all. It runs after the class whose exports it reads."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(exports)], capture_output=True, text=True, check=True
    )
    differences = dict(line.split() for line in done.stdout.splitlines())
    assert set(differences) == {folder.name for folder in exports.iterdir() if folder.is_dir()}
    assert {name: d for name, d in differences.items() if float(d) > 1e-6} == {}
