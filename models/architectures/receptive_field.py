"""How far an output pixel sees: computed from the built network, layer by layer.

For every tensor two facts are kept: its `step`, the input pixels between neighbours, and its receptive field, the farthest input pixels
that the element at position p can depend on, `before` and `after` the pixel p·step (Araujo, Norris, Sim: "Computing Receptive
Fields of Convolutional Neural Networks", Distill 2019, extended by layers that go up in resolution).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import keras

from models.architectures.blocks import CropLike, MirrorPad
from models.architectures.upsampling import MaxPoolWithIndices, MaxUnpool, Resize, Unpool


@dataclass(frozen=True)
class ReceptiveField:
    """What one element of a tensor depends on along one axis, in input pixels."""

    step: Fraction
    before: Fraction
    after: Fraction


class UnknownReceptiveFieldError(Exception):
    """A layer of a kind whose receptive field is not known here."""


def receptive_field_radius(network: keras.Model) -> int | None:
    """The distance in pixels beyond which no input pixel changes an output pixel; None with global context.

    Height and width behave alike in the networks here; the larger of the two kernels' sizes counts.
    Raises UnknownReachError for a layer this module knows nothing of.
    """
    output = receptive_fields(network)[id(network.outputs[0])]
    return None if output is None else math.ceil(max(output.before, output.after))


def receptive_fields(network: keras.Model) -> dict[int, ReceptiveField | None]:
    """The receptive field of every tensor of a functional network, by the tensor's `id`; None with global context.

    Raises UnknownReachError.
    """
    found: dict[int, ReceptiveField | None] = {}
    for tensor in network.inputs:
        found[id(tensor)] = ReceptiveField(Fraction(1), Fraction(0), Fraction(0))
    for depth in sorted(network._nodes_by_depth, reverse=True):
        for node in network._nodes_by_depth[depth]:
            if not node.input_tensors:
                continue
            incoming = [found[id(tensor)] for tensor in node.input_tensors]
            outgoing = _propagate(node.operation, incoming)
            found.update({id(tensor): outgoing for tensor in node.outputs})
    return found


def _propagate(
    layer: keras.layers.Layer, incoming: list[ReceptiveField | None]
) -> ReceptiveField | None:
    known = [field for field in incoming if field is not None]
    if len(known) < len(incoming):
        return None
    together = _union(known)
    if isinstance(layer, POINTWISE):
        return together
    for kind, rule in RULES.items():
        if isinstance(layer, kind):
            return rule(layer, together)
    raise UnknownReceptiveFieldError(
        f"how far a {type(layer).__name__} layer sees is not known; add a rule"
    )


def _union(receptive_fields: list[ReceptiveField]) -> ReceptiveField:
    return ReceptiveField(
        receptive_fields[0].step,
        max(field.before for field in receptive_fields),
        max(field.after for field in receptive_fields),
    )


def _convolution(layer: keras.layers.Layer, field: ReceptiveField) -> ReceptiveField:
    kernel = (max(layer.kernel_size) - 1) * max(layer.dilation_rate) + 1
    return _sliding(field, kernel, max(layer.strides), layer.padding)


def _pooling(layer: keras.layers.Layer, field: ReceptiveField) -> ReceptiveField:
    return _sliding(field, max(layer.pool_size), max(layer.strides), layer.padding)


def _sliding(field: ReceptiveField, kernel: int, stride: int, padding: str) -> ReceptiveField:
    # TensorFlow's 'same' puts the smaller half in front; sizes here are multiples of the stride.
    front = max(kernel - stride, 0) // 2 if padding == "same" else 0
    return ReceptiveField(
        field.step * stride,
        field.before + field.step * front,
        field.after + field.step * (kernel - 1 - front),
    )


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


def _resize(layer: Resize, field: ReceptiveField) -> ReceptiveField:
    """Half-pixel centres: output q lies at (q + 0.5) / factor - 0.5 of the input, between two pixels of it or more."""
    factor = layer.factor
    if layer.interpolation == "nearest":
        return _repeated(field, factor)
    support = {"bilinear": 1, "bicubic": 2}[layer.interpolation]
    offset = Fraction(factor - 1, 2 * factor)
    return ReceptiveField(
        field.step / factor,
        field.before + field.step * (support + offset),
        field.after + field.step * support,
    )


def _repeated(field: ReceptiveField, factor: int) -> ReceptiveField:
    """Output q depends on input q // factor: nearest interpolation, and every unpooling."""
    return ReceptiveField(
        field.step / factor, field.before + field.step * Fraction(factor - 1, factor), field.after
    )


def _shifted(field: ReceptiveField, pixels: int) -> ReceptiveField:
    """Output q depends on input q - pixels."""
    shift = field.step * pixels
    return replace(field, before=field.before + shift, after=field.after - shift)


def _cropping(layer: keras.layers.Cropping2D, field: ReceptiveField) -> ReceptiveField:
    (top, _), (left, _) = layer.cropping
    if top != left:
        raise UnknownReceptiveFieldError(
            f"{layer.name} crops height and width by different amounts"
        )
    return _shifted(field, -top)


POINTWISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.Dropout,
    keras.layers.Multiply,
    keras.layers.ReLU,
    keras.layers.Rescaling,
)

# DepthwiseConv2D is no subclass of Conv2D, Conv2DTranspose none either.
RULES: dict[type, Callable[[keras.layers.Layer, ReceptiveField], ReceptiveField | None]] = {
    keras.layers.Conv2DTranspose: _transposed_convolution,
    keras.layers.Conv2D: _convolution,
    keras.layers.DepthwiseConv2D: _convolution,
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.ZeroPadding2D: _zero_padding,
    keras.layers.Cropping2D: _cropping,
    Resize: _resize,
    Unpool: lambda layer, field: _repeated(field, layer.factor),
    MaxPoolWithIndices: lambda _layer, field: _sliding(field, 2, 2, "valid"),
    MaxUnpool: lambda _layer, field: _repeated(field, 2),
    # What is mirrored in lies nearer than the pixel it stands for.
    MirrorPad: lambda layer, field: _shifted(field, layer.margin),
    CropLike: lambda _layer, field: field,
    keras.layers.GlobalAveragePooling2D: lambda _layer, _field: None,
}
