"""How far an output pixel sees: computed from the built network, layer by layer.

For every tensor two facts are kept: its `step`, the input pixels between neighbours, and its
receptive field, the farthest input pixels that the element at position p can depend on, `before`
and `after` the pixel p·step (Araujo, Norris, Sim: "Computing Receptive Fields of Convolutional
Neural Networks", Distill 2019, extended by layers that go up in resolution).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

import keras

from models.contract import UserError


@dataclass(frozen=True)
class ReceptiveField:
    """What one element of a tensor depends on along one axis, in input pixels; infinite with global
    context."""

    step: Fraction
    before: Fraction | float
    after: Fraction | float

    def sliding(self, kernel: int, stride: int, padding: str) -> "ReceptiveField":
        """After a convolution or a pooling. TensorFlow's 'same' puts the smaller half in front;
        sizes here are multiples of the stride."""
        front = max(kernel - stride, 0) // 2 if padding == "same" else 0
        return ReceptiveField(
            self.step * stride,
            self.before + self.step * front,
            self.after + self.step * (kernel - 1 - front),
        )

    def repeated(self, factor: int) -> "ReceptiveField":
        """Where output q depends on input q // factor: nearest interpolation, and every
        unpooling."""
        before = self.before + self.step * Fraction(factor - 1, factor)
        return ReceptiveField(self.step / factor, before, self.after)

    def interpolated(self, factor: int, support: int) -> "ReceptiveField":
        """Where output q lies at (q + 0.5) / factor - 0.5 of the input, between `support` pixels of
        it on either side."""
        offset = Fraction(factor - 1, 2 * factor)
        return ReceptiveField(
            self.step / factor,
            self.before + self.step * (support + offset),
            self.after + self.step * support,
        )

    def everywhere(self) -> "ReceptiveField":
        """Where every output depends on the whole input."""
        return replace(self, before=math.inf, after=math.inf)

    def shifted(self, pixels: int) -> "ReceptiveField":
        """Where output q depends on input q - pixels."""
        shift = self.step * pixels
        return replace(self, before=self.before + shift, after=self.after - shift)


@runtime_checkable
class MovesPixels(Protocol):
    """A layer of our own that says itself what its output sees, its input's field given; None is
    global context."""

    def propagate(self, field: ReceptiveField) -> ReceptiveField | None: ...


class UnknownReceptiveFieldError(UserError):
    """A layer of a kind whose receptive field is not known here."""


def receptive_field_radius(network: keras.Model) -> int | None:
    """The distance in pixels beyond which no input pixel changes an output pixel; None with global
    context.

    Height and width behave alike in the networks here; the larger of the two kernels' sizes counts.
    Raises UnknownReceptiveFieldError for a layer this module knows nothing of.
    """
    output = receptive_fields(network)[id(network.outputs[0])]
    radius = max(output.before, output.after)
    return None if math.isinf(radius) else math.ceil(radius)


def receptive_fields(network: keras.Model) -> dict[int, ReceptiveField]:
    """The receptive field of every tensor of a functional network, by the tensor's `id`.

    Raises UnknownReceptiveFieldError.
    """
    fields: dict[int, ReceptiveField] = {}
    for layer, inputs, outputs in steps(network):
        if inputs:
            field = _propagate(layer, [fields[id(tensor)] for tensor in inputs])
        else:
            field = ReceptiveField(Fraction(1), Fraction(0), Fraction(0))
        fields.update({id(tensor): field for tensor in outputs})
    return fields


def steps(
    network: keras.Model,
) -> Iterator[tuple[Any, list[keras.KerasTensor], list[keras.KerasTensor]]]:
    """Each layer of a functional network in the order they run, with what goes in and what comes
    out; each runs once."""
    for layer in network.operations:
        yield layer, keras.tree.flatten(layer.input), keras.tree.flatten(layer.output)


def _propagate(layer: Any, incoming: list[ReceptiveField]) -> ReceptiveField:
    together = ReceptiveField(
        incoming[0].step,
        max(field.before for field in incoming),
        max(field.after for field in incoming),
    )
    if isinstance(layer, MovesPixels):
        return layer.propagate(together) or together.everywhere()
    if isinstance(layer, POINTWISE):
        return together
    for kind, rule in RULES.items():
        if isinstance(layer, kind):
            return rule(layer, together)
    raise UnknownReceptiveFieldError(
        f"how far a {type(layer).__name__} layer sees is not known; give it a method propagate, or "
        "add a rule"
    )


def _convolution(layer: keras.layers.Layer, field: ReceptiveField) -> ReceptiveField:
    kernel = (max(layer.kernel_size) - 1) * max(layer.dilation_rate) + 1
    return field.sliding(kernel, max(layer.strides), layer.padding)


def _pooling(layer: keras.layers.Layer, field: ReceptiveField) -> ReceptiveField:
    return field.sliding(max(layer.pool_size), max(layer.strides), layer.padding)


def _zero_padding(layer: keras.layers.Layer, field: ReceptiveField) -> ReceptiveField:
    front = max(before for before, _ in layer.padding)
    behind = min(before for before, _ in layer.padding)
    return replace(
        field, before=field.before + field.step * front, after=field.after - field.step * behind
    )


def _transposed_convolution(layer: keras.layers.Layer, field: ReceptiveField) -> ReceptiveField:
    """Output q is made of inputs i with i·stride - front ≤ q ≤ i·stride - front + kernel - 1."""
    kernel, stride = max(layer.kernel_size), max(layer.strides)
    front = (kernel - stride) // 2 if layer.padding == "same" else 0
    return ReceptiveField(
        field.step / stride,
        field.before + field.step * Fraction(kernel - 1 - front, stride),
        field.after + field.step * Fraction(front, stride),
    )


def _cropping(layer: keras.layers.Cropping2D, field: ReceptiveField) -> ReceptiveField:
    (top, _), (left, _) = layer.cropping
    if top != left:
        raise UnknownReceptiveFieldError(
            f"{layer.name} crops height and width by different amounts"
        )
    return field.shifted(-top)


def _reshaping(layer: keras.layers.Layer, field: ReceptiveField) -> ReceptiveField:
    """Of what was pooled to one vector it moves no pixel."""
    if not math.isinf(field.before):
        raise UnknownReceptiveFieldError(f"{layer.name} gives pixels another place")
    return field


# Layers of Keras' own; ours say it themselves.
POINTWISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.Dropout,
    keras.layers.Multiply,
    keras.layers.Normalization,
    keras.layers.ReLU,
    keras.layers.Rescaling,
)

# DepthwiseConv2D is no subclass of Conv2D, Conv2DTranspose none either.
RULES: dict[type, Callable[[keras.layers.Layer, ReceptiveField], ReceptiveField]] = {
    keras.layers.Conv2DTranspose: _transposed_convolution,
    keras.layers.Conv2D: _convolution,
    keras.layers.DepthwiseConv2D: _convolution,
    keras.layers.SeparableConv2D: _convolution,
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.AveragePooling2D: _pooling,
    keras.layers.ZeroPadding2D: _zero_padding,
    keras.layers.Cropping2D: _cropping,
    keras.layers.GlobalAveragePooling2D: lambda _layer, field: field.everywhere(),
    keras.layers.Reshape: _reshaping,
}
