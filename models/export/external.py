"""A network that was trained elsewhere, made to take pixel values and give logits as our own do.

Whatever the external model wants (size, scaling, mean and std, channel and axis order) and gives
(logits, probabilities, a sigmoid, fewer pixels than it took) becomes part of the graph that is
exported.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from models.architectures.blocks import MirrorPad
from models.contract import UserError
from models.export.adopt_options import AdoptOptions, AxisOrder, OutputKind

_LEAST_PROBABILITY = 1e-7


class AdoptionError(UserError):
    """The external model cannot be wrapped, or something has to be said of it. The text says
    what."""


@dataclass(frozen=True)
class ExternalModel:
    """A model as it was loaded: `run` maps a tensor of its own form to its output."""

    run: Callable[[tf.Tensor], tf.Tensor]
    variables: Sequence[Any]  # tf.Variable
    input_shape: tuple[int | None, ...]
    input_type: tf.DType
    description: str
    rescales_itself: bool


@dataclass(frozen=True)
class IOSpec:
    """What was found out of an external model. `notes` says it in words."""

    axes: AxisOrder
    channels: int
    batch_size: int | None
    size: tuple[int, int] | None  # height and width, where the model takes one size alone
    stride: int  # of a model of any size
    reduction: int  # input pixels an output pixel stands for, along a side
    output: OutputKind
    output_axes: AxisOrder
    output_channels: int
    notes: tuple[str, ...]


class ExternalNetwork:
    """An external model with our input and output: pixel values 0–255 float32 (N, H, W, C) to
    logits (N, H, W, classes).

    It is an `Exportable`, as a network of ours is.
    """

    def __init__(self, model: ExternalModel, io_spec: IOSpec, options: AdoptOptions) -> None:
        self._model = model
        self._io_spec = io_spec
        self._options = options
        self._pad = MirrorPad(io_spec.stride)
        self.channels = io_spec.channels
        self.classes = max(io_spec.output_channels, 2)
        self.variables = list(model.variables)
        self.stride = 1 if io_spec.size else io_spec.stride
        self.receptive_field_radius = None if io_spec.size else options.receptive_field_radius

    def __call__(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:  # noqa: ARG002
        images = tf.convert_to_tensor(images)
        original = tf.shape(images)[1:3]
        if self._io_spec.size is not None:
            fitted = tf.image.resize(images, self._io_spec.size)
            scores = self._scores(self._raw(fitted))
            return self._logits(tf.image.resize(scores, original))
        padded = self._pad(images)
        scores = self._scores(self._raw(padded))
        if self._io_spec.reduction > 1:
            scores = tf.image.resize(scores, tf.shape(padded)[1:3])
        return self._logits(scores[:, : original[0], : original[1]])

    @property
    def parameters(self) -> int:
        """The number of values in its variables."""
        return sum(int(np.prod(variable.shape)) for variable in self._model.variables)

    def _raw(self, images: tf.Tensor) -> tf.Tensor:
        """The external model's own output for images of a size it takes."""
        prepared = prepare(images, self._io_spec, self._options, self._model.input_type)
        if self._io_spec.batch_size == 1:
            return tf.map_fn(
                lambda one: tf.cast(self._model.run(one[tf.newaxis])[0], tf.float32),
                prepared,
                fn_output_signature=tf.float32,
            )
        return self._model.run(prepared)

    def _scores(self, raw: tf.Tensor) -> tf.Tensor:
        """Channel-last float32 (N, h, w, channels)."""
        raw = tf.cast(raw, tf.float32)
        if len(raw.shape) == 3:
            raw = raw[..., tf.newaxis]
        if self._io_spec.output_axes == "NCHW":
            raw = tf.transpose(raw, (0, 2, 3, 1))
        return tf.ensure_shape(raw, (None, None, None, self._io_spec.output_channels))

    def _logits(self, scores: tf.Tensor) -> tf.Tensor:
        """What softmax turns into the model's probabilities. A single sigmoid channel is cut at 0
        there."""
        if self._io_spec.output != "logits":
            scores = tf.clip_by_value(scores, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
            log = tf.math.log(scores)
            scores = log - tf.math.log1p(-scores) if self._io_spec.output_channels == 1 else log
        if self._io_spec.output_channels > 1:
            return scores
        threshold = self._options.threshold
        above = scores - float(np.log(threshold / (1 - threshold)))
        return tf.concat([tf.zeros_like(above), above], axis=-1)


def prepare(
    images: tf.Tensor, io_spec: IOSpec, options: AdoptOptions, input_type: tf.DType
) -> tf.Tensor:
    """Pixel values 0–255 (N, H, W, C) as the model wants them."""
    if options.channel_order == "bgr" and io_spec.channels == 3:
        images = images[..., ::-1]
    if options.scaling == "0..1":
        images = images / 255.0
    elif options.scaling == "-1..1":
        images = images / 127.5 - 1.0
    if options.mean is not None:
        images = images - tf.constant(options.mean, tf.float32)
    if options.std is not None:
        images = images / tf.constant(options.std, tf.float32)
    if input_type.is_integer:
        images = tf.round(images)
    if io_spec.axes == "NCHW":
        images = tf.transpose(images, (0, 3, 1, 2))
    return tf.cast(images, input_type)


def first_line(error: Exception) -> str:
    """What an error of TensorFlow or Keras says, without its long tail."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
