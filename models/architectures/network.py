"""What building a network gives: the model, and the facts of it that the rest of the trainer
needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from models.architectures.receptive_field import receptive_field_radius

Features = Mapping[int, keras.KerasTensor]  # by stride

_NO_LEVELS: Features = MappingProxyType({})


@dataclass(frozen=True)
class Network:
    """A model from pixel values 0–255 (N, H, W, channels) to logits float32 (N, H, W, classes), for
    any H, W ≥ 1.

    The image is padded to multiples of `stride`. Layers go by name, so that the facts hold for a
    copy of the model too: `encoder_layers` are those of the encoder that have weights;
    `decoder_levels` maps a stride to the decoder's last layer there, whose features are as large as
    the padded image over that stride, and is empty where there are no such.
    """

    model: keras.Model
    stride: int
    encoder_layers: frozenset[str]
    decoder_levels: Mapping[int, str]

    def __call__(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.model(images, training=training)

    @property
    def channels(self) -> int:
        return int(self.model.input_shape[-1])

    @property
    def classes(self) -> int:
        return int(self.model.outputs[0].shape[-1])

    @property
    def parameters(self) -> int:
        return int(self.model.count_params())

    @property
    def variables(self) -> list[Any]:
        """Every tf.Variable that its logits depend on."""
        return [weight.value for weight in self.model.weights]

    @cached_property
    def receptive_field_radius(self) -> int | None:
        """The distance in pixels beyond which no input pixel changes an output pixel; None with
        global context."""
        return receptive_field_radius(self.model)

    def encoder(self) -> list[keras.layers.Layer]:
        """The layers of the encoder that have weights."""
        return [layer for layer in self.model.layers if layer.name in self.encoder_layers]


def assemble(
    name: str,
    image: keras.KerasTensor,
    logits: keras.KerasTensor,
    *,
    stride: int,
    encoder: Iterable[keras.KerasTensor],
    decoder: Features = _NO_LEVELS,
) -> Network:
    """The network from `image` to `logits`; the encoder is what leads from the image to the
    features in `encoder`."""
    model = keras.Model(image, logits, name=name)
    trunk = keras.Model(image, list(encoder))
    levels = keras.Model(image, list(decoder.values())).output_names if decoder else ()
    return Network(
        model,
        stride,
        encoder_layers=frozenset(layer.name for layer in trunk.layers if layer.weights),
        decoder_levels=dict(zip(decoder, levels, strict=True)),
    )
