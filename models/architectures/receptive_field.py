"""How far an output pixel sees: computed from the built network, layer by layer.

For every tensor two facts are kept: its `step`, the input pixels between neighbours, and its reach, the farthest input pixels
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
class Reach:
    """What one element of a tensor depends on along one axis, in input pixels."""

    step: Fraction
    before: Fraction
    after: Fraction


class UnknownReachError(Exception):
    """A layer of a kind whose reach is not known here."""


def receptive_field_radius(network: keras.Model) -> int | None:
    """The distance in pixels beyond which no input pixel changes an output pixel; None with global context.

    Height and width behave alike in the networks here; the larger of the two kernels' sizes counts.
    Raises UnknownReachError for a layer this module knows nothing of.
    """
    output = reaches(network)[id(network.outputs[0])]
    return None if output is None else math.ceil(max(output.before, output.after))


def reaches(network: keras.Model) -> dict[int, Reach | None]:
    """The reach of every tensor of a functional network, by the tensor's `id`; None with global context.

    Raises UnknownReachError.
    """
    found: dict[int, Reach | None] = {}
    for tensor in network.inputs:
        found[id(tensor)] = Reach(Fraction(1), Fraction(0), Fraction(0))
    for depth in sorted(network._nodes_by_depth, reverse=True):
        for node in network._nodes_by_depth[depth]:
            if not node.input_tensors:
                continue
            incoming = [found[id(tensor)] for tensor in node.input_tensors]
            outgoing = _through(node.operation, incoming)
            found.update({id(tensor): outgoing for tensor in node.outputs})
    return found


def _through(layer: keras.layers.Layer, incoming: list[Reach | None]) -> Reach | None:
    known = [reach for reach in incoming if reach is not None]
    if len(known) < len(incoming):
        return None
    together = _union(known)
    if isinstance(layer, POINTWISE):
        return together
    for kind, rule in RULES.items():
        if isinstance(layer, kind):
            return rule(layer, together)
    raise UnknownReachError(f"how far a {type(layer).__name__} layer sees is not known; add a rule")


def _union(reaches: list[Reach]) -> Reach:
    return Reach(
        reaches[0].step,
        max(reach.before for reach in reaches),
        max(reach.after for reach in reaches),
    )


def _convolution(layer: keras.layers.Layer, reach: Reach) -> Reach:
    kernel = (max(layer.kernel_size) - 1) * max(layer.dilation_rate) + 1
    return _sliding(reach, kernel, max(layer.strides), layer.padding)


def _pooling(layer: keras.layers.Layer, reach: Reach) -> Reach:
    return _sliding(reach, max(layer.pool_size), max(layer.strides), layer.padding)


def _sliding(reach: Reach, kernel: int, stride: int, padding: str) -> Reach:
    # TensorFlow's 'same' puts the smaller half in front; sizes here are multiples of the stride.
    front = max(kernel - stride, 0) // 2 if padding == "same" else 0
    return Reach(
        reach.step * stride,
        reach.before + reach.step * front,
        reach.after + reach.step * (kernel - 1 - front),
    )


def _zero_padding(layer: keras.layers.Layer, reach: Reach) -> Reach:
    front = max(before for before, _ in layer.padding)
    behind = min(before for before, _ in layer.padding)
    return replace(
        reach, before=reach.before + reach.step * front, after=reach.after - reach.step * behind
    )


def _transposed_convolution(layer: keras.layers.Layer, reach: Reach) -> Reach:
    """Output q is made of inputs i with i·stride - front ≤ q ≤ i·stride - front + kernel - 1."""
    kernel, stride = max(layer.kernel_size), max(layer.strides)
    front = (kernel - stride) // 2 if layer.padding == "same" else 0
    return Reach(
        reach.step / stride,
        reach.before + reach.step * Fraction(kernel - 1 - front, stride),
        reach.after + reach.step * Fraction(front, stride),
    )


def _resize(layer: Resize, reach: Reach) -> Reach:
    """Half-pixel centres: output q lies at (q + 0.5) / factor - 0.5 of the input, between two pixels of it or more."""
    factor = layer.factor
    if layer.interpolation == "nearest":
        return _repeated(reach, factor)
    reach_in_pixels = {"bilinear": 1, "bicubic": 2}[layer.interpolation]
    offset = Fraction(factor - 1, 2 * factor)
    return Reach(
        reach.step / factor,
        reach.before + reach.step * (reach_in_pixels + offset),
        reach.after + reach.step * reach_in_pixels,
    )


def _repeated(reach: Reach, factor: int) -> Reach:
    """Output q depends on input q // factor: nearest interpolation, and every unpooling."""
    return Reach(
        reach.step / factor, reach.before + reach.step * Fraction(factor - 1, factor), reach.after
    )


def _shifted(reach: Reach, pixels: int) -> Reach:
    """Output q depends on input q - pixels."""
    shift = reach.step * pixels
    return replace(reach, before=reach.before + shift, after=reach.after - shift)


def _cropping(layer: keras.layers.Cropping2D, reach: Reach) -> Reach:
    (top, _), (left, _) = layer.cropping
    if top != left:
        raise UnknownReachError(f"{layer.name} crops height and width by different amounts")
    return _shifted(reach, -top)


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
RULES: dict[type, Callable[[keras.layers.Layer, Reach], Reach | None]] = {
    keras.layers.Conv2DTranspose: _transposed_convolution,
    keras.layers.Conv2D: _convolution,
    keras.layers.DepthwiseConv2D: _convolution,
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.ZeroPadding2D: _zero_padding,
    keras.layers.Cropping2D: _cropping,
    Resize: _resize,
    Unpool: lambda layer, reach: _repeated(reach, layer.factor),
    MaxPoolWithIndices: lambda _layer, reach: _sliding(reach, 2, 2, "valid"),
    MaxUnpool: lambda _layer, reach: _repeated(reach, 2),
    # What is mirrored in lies nearer than the pixel it stands for.
    MirrorPad: lambda layer, reach: _shifted(reach, layer.margin),
    CropLike: lambda _layer, reach: reach,
    keras.layers.GlobalAveragePooling2D: lambda _layer, _reach: None,
}
