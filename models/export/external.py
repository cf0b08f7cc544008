"""A network that was trained elsewhere, made to take pixel values and give logits as our own do.

Whatever the external model wants (size, scaling, mean and std, channel and axis order) and gives
(logits, probabilities, a sigmoid, fewer pixels than it took) becomes part of the graph that is
exported.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.contract import Overlap
from models.export.adopt_options import AdoptOptions
from models.export.answers import class_map_of
from models.export.external_io import IOSpec, ProbeError, value_range

_LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class TensorFlowModel:
    """A model as TensorFlow loaded it, an `ExternalModel`: `run` maps a tensor of its own form to
    its output."""

    run: Callable[[tf.Tensor], tf.Tensor]
    variables: Sequence[Any]  # tf.Variable
    input_shape: tuple[int | None, ...]
    input_type: tf.DType
    description: str
    rescales_itself: bool

    @property
    def input_dtype(self) -> str:
        name: str = self.input_type.name
        return name

    def probe(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        try:
            output = self.run(tf.constant(values, self.input_type))
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise ProbeError(first_line(error)) from error
        is_integer = output.dtype.is_integer
        return np.asarray(output if is_integer else tf.cast(output, tf.float32))


class ExternalNetwork:
    """An external model with our input and output: pixel values 0–255 float32 (N, H, W, C) to
    logits (N, H, W, classes), which leave out the background where classes overlap.

    It is an `Exportable`, as a network of ours is.
    """

    def __init__(
        self,
        model: TensorFlowModel,
        io_spec: IOSpec,
        options: AdoptOptions,
        classes: int,
        overlap: Overlap | None = None,
    ) -> None:
        self._model = model
        self._io_spec = io_spec
        self._options = options
        self.channels = io_spec.channels
        self.classes = classes
        self._overlap = overlap
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
        padded = _mirror_padded(images, self._io_spec.stride, self._io_spec.least)
        scores = self._scores(self._raw(padded))
        if self._io_spec.reduction > 1:
            scores = tf.image.resize(scores, tf.shape(padded)[1:3])
        return self._logits(scores[:, : original[0], : original[1]])

    def class_map(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Class ids (H, W) of an image (H, W, C)."""
        logits = self(image[np.newaxis].astype(np.float32))
        class_map: NDArray[np.uint8] = class_map_of(logits, self._overlap)[0].numpy()
        return class_map

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
        if len(raw.shape) == 3:
            raw = raw[..., tf.newaxis]
        if self._io_spec.output_axes == "NCHW":
            raw = tf.transpose(raw, (0, 2, 3, 1))
        if self._io_spec.output == "class_map":
            return tf.one_hot(tf.cast(raw[..., 0], tf.int32), self.classes)
        raw = tf.cast(raw, tf.float32)
        return tf.ensure_shape(raw, (None, None, None, self._io_spec.output_channels))

    def _logits(self, scores: tf.Tensor) -> tf.Tensor:
        """What softmax turns into the model's probabilities. Where the channels leave the first
        class out, it wins where all of them are below the threshold; where they overlap, it is not
        among them."""
        leaves_first_out = self._io_spec.output_channels < self.classes
        if self._io_spec.output == "class_map":
            leaves_first_out = False
        if self._io_spec.output != "logits":
            scores = tf.clip_by_value(scores, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
            log = tf.math.log(scores)
            scores = log - tf.math.log1p(-scores) if leaves_first_out else log
        if not leaves_first_out or self._overlap is not None:
            return scores
        threshold = self._options.threshold
        above = scores - float(np.log(threshold / (1 - threshold)))
        return tf.concat([tf.zeros_like(above[..., :1]), above], axis=-1)


def _mirror_padded(images: tf.Tensor, stride: int, least: int) -> tf.Tensor:
    """Images (N, H, W, C) mirrored at the bottom and right to multiples of `stride` that are
    `least` or more, as MirrorPad does."""
    for axis in (1, 2):
        size = tf.shape(images)[axis]
        padded = tf.maximum(-(-size // stride) * stride, least)
        period = tf.maximum(2 * (size - 1), 1)
        position = tf.range(padded) % period
        images = tf.gather(images, tf.minimum(position, period - position), axis=axis)
    return images


def prepare(
    images: tf.Tensor, io_spec: IOSpec, options: AdoptOptions, input_type: tf.DType
) -> tf.Tensor:
    """Pixel values 0–255 (N, H, W, C) as the model wants them."""
    if options.channel_order == "bgr" and io_spec.channels == 3:
        images = images[..., ::-1]
    low, high = value_range(options)
    images = images * ((high - low) / 255) + low
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
    """What an error of TensorFlow or Keras says, without its long tail, the code that AutoGraph
    puts before it, and the layer that Keras does, which prints the cause in bold."""
    said = str(error)
    if cause := re.search(r"\x1b\[1m(.+?)\x1b\[0m", said, re.DOTALL):
        said = cause[1]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if lines and lines[0] == "in user code:":
        lines = [line for line in lines if re.match(r"\w+Error: ", line)] or lines
    return lines[0][:200] if lines else type(error).__name__
