"""What every network must do, in one class; each row of NETWORKS is put through all of it."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures.networks import CUSTOM_OBJECTS, build_network
from models.architectures.options import NetworkOptions
from models.architectures.receptive_field import receptive_field_radius

NETWORKS = {
    "unet plain nearest": NetworkOptions(width=4, upsampling="nearest"),
    "unet plain bilinear": NetworkOptions(width=4, upsampling="bilinear"),
    "unet plain transposed": NetworkOptions(width=4, upsampling="transposed", dropout=0.2),
    "unet mobilenet_v2 bilinear": NetworkOptions(encoder="mobilenet_v2", upsampling="bilinear"),
    "unet mobilenet_v2 transposed": NetworkOptions(encoder="mobilenet_v2", upsampling="transposed"),
}
CLASSES = 3


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(scope="module", params=NETWORKS)
def options(request: pytest.FixtureRequest) -> NetworkOptions:
    return NETWORKS[request.param]


@pytest.fixture(scope="module")
def network(options: NetworkOptions) -> keras.Model:
    keras.utils.set_random_seed(7)
    return build_network(CLASSES, 3, options)


class TestEveryNetwork:
    @pytest.mark.parametrize("size", [(1, 1), (1, 40), (31, 33), (64, 96)])
    def test_logits_have_the_images_size(self, network: keras.Model, size: tuple[int, int]) -> None:
        logits = network(noise(2, *size, 3), training=False)
        assert logits.shape == (2, *size, CLASSES)
        assert np.isfinite(logits).all()

    def test_gray_images_are_taken(self, options: NetworkOptions) -> None:
        gray = build_network(CLASSES, 1, options)
        assert gray(noise(1, 33, 47, 1), training=False).shape == (1, 33, 47, CLASSES)

    def test_an_image_gets_the_same_logits_in_any_batch(self, network: keras.Model) -> None:
        images = noise(3, 32, 32, 3)
        together = np.asarray(network(images, training=False))
        alone = np.concatenate([np.asarray(network(i[np.newaxis], training=False)) for i in images])
        np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-3)

    def test_a_few_training_steps_lower_the_loss(self, options: NetworkOptions) -> None:
        keras.utils.set_random_seed(7)
        model = build_network(CLASSES, 3, options)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-3), loss, run_eagerly=True)  # tracing takes longer
        images = noise(4, 32, 32, 3)
        masks = images.argmax(axis=-1)
        losses = [float(model.train_on_batch(images, masks)) for _ in range(6)]
        assert losses[-1] < losses[0]

    def test_a_keras_file_gives_the_same_logits(self, network: keras.Model, tmp_path: Path) -> None:
        path = tmp_path / "network.keras"
        network.save(path)
        loaded = keras.models.load_model(path, custom_objects=CUSTOM_OBJECTS)
        images = noise(1, 45, 30, 3)
        np.testing.assert_array_equal(network(images), loaded(images))

    def test_no_pixel_beyond_the_radius_changes_the_centre(self, network: keras.Model) -> None:
        """By the gradient of the centre's logits: nil outside the radius, not nil inside."""
        radius = receptive_field_radius(network)
        assert radius is not None
        size = 2 * (radius + 40)
        image = tf.constant(noise(1, 32, size, 3))
        centre = size // 2
        with tf.GradientTape() as tape:
            tape.watch(image)
            # Sums of squares of all logits at the centre: no single cancellation hides a path.
            strength = tf.reduce_sum(tf.square(network(image, training=False)[:, 16, centre]))
        reached = np.abs(tape.gradient(strength, image)).sum(axis=(0, 1, 3)) > 0
        distance = np.abs(np.arange(size) - centre)[reached]
        assert distance.max() <= radius
        assert distance.max() >= 0.5 * radius, "the radius is computed far too large"


def test_the_papers_unet_has_its_23_convolutions() -> None:
    unet = build_network(2, 1, NetworkOptions(width=4, upsampling="transposed"))
    convolutions = [
        layer
        for layer in unet.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose)
    ]
    assert len(convolutions) == 23


def test_a_seed_makes_the_same_network_again() -> None:
    options = NetworkOptions(width=4)
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        weights.append(build_network(CLASSES, 3, options).get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)
