"""The facts that the papers state of their networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.architectures.networks import build_network
from models.architectures.receptive_field import receptive_field_radius, receptive_fields
from models.architectures.unet import build_papers_unet
from models.architectures.without_weights import without_weights


def convolutions(network: keras.Model) -> int:
    kinds = keras.layers.Conv2D | keras.layers.Conv2DTranspose
    return sum(isinstance(layer, kinds) for layer in network.layers)


def test_the_papers_unet_has_23_convolutions_and_31_million_parameters() -> None:
    with without_weights():
        unet = build_papers_unet(classes=2, channels=1)
        wrapped = build_network("unet", classes=2, channels=1, padding="valid").model
    assert convolutions(unet) == convolutions(wrapped) == 23
    assert unet.count_params() == wrapped.count_params() == 31_030_658


def test_the_papers_unet_makes_388_of_572() -> None:
    unet = build_papers_unet(classes=2, channels=1, width=1)
    assert unet(np.zeros((1, 572, 572, 1), np.float32)).shape == (1, 388, 388, 2)


def test_the_wrapped_unet_is_the_papers_on_mirrored_surroundings() -> None:
    """Figure 2: here the mirror comes from numpy, and the image is what 572 pixels leave of 388."""
    keras.utils.set_random_seed(1)
    bare = build_papers_unet(classes=2, channels=1, width=1)
    wrapped = build_network("unet", classes=2, channels=1, width=1, padding="valid")
    wrapped.model.set_weights(bare.get_weights())
    image = np.random.default_rng(0).uniform(0, 255, (1, 100, 132, 1)).astype(np.float32)
    mirrored = np.pad(image, ((0, 0), (92, 92), (92, 92), (0, 0)), mode="reflect")
    np.testing.assert_allclose(wrapped(image), bare(mirrored), rtol=1e-5, atol=1e-5)


def test_fcn_8s_has_the_134_million_parameters_of_the_paper() -> None:
    """VGG16's 13 convolutions, fc6 and fc7, three score layers of 21 classes, three upsamplings
    without bias."""
    trunk = 14_714_688
    classifier = 7 * 7 * 512 * 4096 + 4096 + 4096 * 4096 + 4096
    scores = (4096 + 512 + 256 + 3) * 21
    upsampling = (4**2 + 4**2 + 16**2) * 21 * 21
    with without_weights():
        fcn = build_network("fcn8s", classes=21, channels=3)
    assert fcn.parameters == trunk + classifier + scores + upsampling == 134_489_759


def test_fc7_of_fcn_sees_404_pixels_at_stride_32() -> None:
    """As VGG16's classifier does at 224 and beyond: 212 of five stages, and six steps of 32
    more."""
    fcn = build_network("fcn32s", classes=2, channels=3, width=1).model
    field = receptive_fields(fcn)[id(fcn.get_layer("fc7").output)]
    assert field.step == 32
    assert field.before + 1 + field.after == 404


def test_segnet_mirrors_the_13_convolutions_of_its_encoder() -> None:
    with without_weights():
        segnet = build_network("segnet", classes=11, channels=3).model
    assert convolutions(segnet) == 26
    assert segnet.count_params() == pytest.approx(29.45e6, rel=2e-3)


def test_what_an_encoder_decoder_lacks_is_its_skips_alone() -> None:
    skips = [
        build_network(name, classes=2, channels=3, width=4).model
        for name in ("unet", "encoder_decoder")
    ]
    assert convolutions(skips[0]) == convolutions(skips[1])
    kinds = [{type(layer) for layer in network.layers} for network in skips]
    assert kinds[0] - kinds[1] == {keras.layers.Concatenate}


@pytest.mark.parametrize(
    ("name", "stride"), [("fcn8s", 32), ("unet", 16), ("encoder_decoder", 16), ("segnet", 32)]
)
def test_the_coarsest_features_are_at_the_stride_of_the_padding(name: str, stride: int) -> None:
    with without_weights():
        network = build_network(name, classes=2, channels=3, width=2)
    fields = receptive_fields(network.model).values()
    assert max(field.step for field in fields) == network.stride == stride


def test_a_network_with_global_context_has_no_radius() -> None:
    image = keras.Input((None, None, 2))
    context = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    network = keras.Model(image, keras.layers.Multiply()([image, context]))
    assert receptive_field_radius(network) is None


def test_a_dilated_convolution_reaches_as_far_as_its_gaps() -> None:
    image = keras.Input((None, None, 1))
    network = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same", dilation_rate=4)(image))
    assert receptive_field_radius(network) == 4
    assert tf.reduce_all(network(np.zeros((1, 9, 9, 1), np.float32)) == 0)
