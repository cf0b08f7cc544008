import keras
import numpy as np
import pytest
import tensorflow as tf

from models.architectures.networks import build_network


@pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="on a GPU all of it is bfloat16"
)
def test_in_bfloat16_on_a_cpu_the_encoder_stays_in_float32() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_network(
            "unet", classes=2, channels=3, encoder="mobilenet_v2", upsampling="bilinear"
        )
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    encoder = {layer.compute_dtype for layer in network.encoder()}
    assert encoder == {"float32"}
    decoder = [
        layer.compute_dtype
        for layer in network.model.layers
        if layer.weights and layer.name not in network.encoder_layers
    ]
    assert decoder == ["bfloat16"] * (len(decoder) - 1) + ["float32"]  # the logits


def test_normalised_features_have_a_mean_of_0_and_a_spread_of_1_and_learn_with_the_decoder() -> (
    None
):
    keras.utils.set_random_seed(3)
    network = build_network(
        "unet_mobile", classes=2, channels=3, encoder="mobilenet_v2", feature_norm=True
    )
    norms = [layer for layer in network.model.layers if layer.name.startswith("feature")]
    assert [layer.name for layer in norms] == [f"feature{s}_bn" for s in (32, 16, 8, 4, 2)]
    assert not network.encoder_layers & {layer.name for layer in norms}
    images = np.random.default_rng(0).uniform(0, 255, (4, 96, 96, 3)).astype(np.float32)
    features = keras.Model(network.model.inputs, [norm.output for norm in norms])
    for feature in features([images], training=True):
        moments = tf.nn.moments(feature, axes=(0, 1, 2))
        np.testing.assert_allclose(moments[0], 0, atol=1e-3)
        np.testing.assert_allclose(moments[1], 1, atol=0.1)


@pytest.mark.parametrize("name", ["unet", "unet_mobile"])
def test_width_scales_the_decoder_alone(name: str) -> None:
    networks = [
        build_network(name, classes=2, channels=3, encoder="mobilenet_v2", width=width)
        for width in (64, 128)
    ]
    shapes: list[dict[str, list[tuple[int, ...]]]] = [{}, {}]
    for network, found in zip(networks, shapes, strict=True):
        for layer in network.model.layers:
            found[layer.name] = [tuple(weight.shape) for weight in layer.weights]
    own, wide = shapes
    assert networks[0].encoder_layers == networks[1].encoder_layers
    assert {layer: own[layer] for layer in networks[0].encoder_layers} == {
        layer: wide[layer] for layer in networks[1].encoder_layers
    }
    assert wide["logits"] == [(1, 1, 64, 2), (2,)]
    assert own["logits"] == [(1, 1, 32, 2), (2,)]
