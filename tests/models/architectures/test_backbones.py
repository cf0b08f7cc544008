"""MobileNetV2's start from a model that was trained before."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models.architectures.networks import build_network
from models.architectures.weights_error import BackboneWeightsError

BUNDLED = Path(__file__).parents[3] / "models" / "zoo" / "nuclei" / "1"


@pytest.mark.parametrize("channels", [1, 3])
def test_the_encoder_is_that_of_the_exported_model_and_the_rest_is_not(channels: int) -> None:
    network = build_network(
        "unet", classes=5, channels=channels, encoder="mobilenet_v2", weights=str(BUNDLED)
    )
    loaded = tf.saved_model.load(str(BUNDLED))
    variables = loaded.signatures["serving_default"].variables
    kept = {variable.name.removesuffix(":0"): variable for variable in variables}
    encoder = [weight for layer in network.encoder() for weight in layer.weights]
    assert len(encoder) > 200
    for weight in encoder:
        np.testing.assert_array_equal(np.asarray(weight), kept[weight.path].numpy())
    (decoder, *_) = (w for w in network.model.weights if w.path == "up2_2_conv/kernel")
    assert (np.asarray(decoder) != kept["up2_2_conv/kernel"].numpy()).any()


def test_a_folder_without_such_a_model_is_refused(tmp_path: Path) -> None:
    def build() -> None:
        build_network("unet", classes=2, channels=3, encoder="mobilenet_v2", weights=str(tmp_path))

    with pytest.raises(BackboneWeightsError, match="holds no model that segtrain export wrote"):
        build()
    module = tf.Module()
    module.gain = tf.Variable(2.0, name="gain")
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    answer = tf.function(lambda images: module.gain * tf.cast(images, tf.float32), [spec])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": answer})
    with pytest.raises(BackboneWeightsError, match="another encoder than MobileNetV2"):
        build()
