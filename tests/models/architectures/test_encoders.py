import keras
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
