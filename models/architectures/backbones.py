"""Encoders trained on ImageNet, cut into the feature maps a decoder wants."""

from pathlib import Path

import keras

from models.architectures.blocks import BATCH_NORM_MOMENTUM, BatchNorm


class BackboneWeightsError(Exception):
    """The weights are not where they were said to be, or belong to another network."""


def mobilenet_v2_features(
    image: keras.KerasTensor, weights: str | None
) -> dict[int, keras.KerasTensor]:
    """Map stride to feature map, for strides 2, 4, 8, 16 and 32 (16, 24, 32, 96 and 160 channels).

    Each is the last block's output at its stride, the narrow end of the inverted residual (Sandler et al. 2018, table 2);
    the wide layers behind block 15 are left out: half the parameters, and made for classification. `weights` is
    "imagenet" (Keras downloads them), the path of a `load_weights` file, or None for a random start.
    Raises BackboneWeightsError.
    """
    original = _mobilenet_v2(weights)
    # MobileNetV2 has no width or height of its own, so its layers can be laid over another input.
    trunk = keras.models.clone_model(original, input_tensors=image, clone_function=_own_layer)
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
    """A copy of a layer; of a BatchNormalization one of ours, with a momentum that fits a short fine-tuning.

    Keras builds these with 0.999: after a few hundred steps the statistics still are those of ImageNet.
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
    if not Path(weights).is_file():
        raise BackboneWeightsError(
            f"no backbone weights at {weights}; give the path of a weights file for MobileNetV2 "
            "without its top, or 'imagenet' to let Keras fetch them"
        )
    model = _mobilenet_v2(None)
    try:
        model.load_weights(weights)
    except (ValueError, OSError) as error:
        raise BackboneWeightsError(
            f"{weights} does not fit MobileNetV2 without its top: {error}"
        ) from error
    return model


def _downloaded() -> keras.Model:
    try:
        return keras.applications.MobileNetV2(include_top=False, input_shape=(None, None, 3))
    except Exception as error:  # Keras raises nothing narrower where a download fails
        raise BackboneWeightsError(
            f"Keras could not fetch the ImageNet weights ({error}); give the path of a weights file instead"
        ) from error
