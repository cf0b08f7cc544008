"""How far outputs of a network see, computed from OpenVINO's reading of its graph.

An output pixel `o` of a tensor whose pixels stand `step` apart in the picture depends on the
picture from `o · step - before` to `o · step + behind`. Each operator on the way is known to widen
that by so much, or the reach is not known: a mean over the picture, attention, normalization by
instance. That is sound where a probe, which changes a pixel and looks, would overlook what is too
small to see.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

# Each value of the output is made of the values at its own place.
_POINTWISE = frozenset(
    """
    Abs Add BatchNormInference Ceiling Clamp Concat Convert Divide Elu Equal Erf Exp
    FakeQuantize Floor Gelu Greater GreaterEqual HSigmoid HSwish HardSigmoid Identity Less LessEqual
    Log LogSoftmax Maximum Minimum Mish Multiply Negative PRelu Power Relu Result Round
    Select Selu Sigmoid Softmax SoftPlus SoftSign Sqrt SquaredDifference Subtract Swish
    Tanh
    """.split()  # noqa: SIM905 - the operators are a table
)
_ALONG_AN_AXIS = {"Concat": "axis", "Softmax": "axis", "LogSoftmax": "axis"}
# Input pixels that an enlarged or shrunk one is made of, to each side.
_NEIGHBORS = {"nearest": 1, "linear": 2, "linear_onnx": 2, "cubic": 3}
_NO_VALUES = ("ShapeOf", "Constant")


class UnknownReachError(Exception):
    """An operator may see anything."""


@dataclass(frozen=True)
class Side:
    """Of height or width: which axis of the tensor it is, and what a place of it sees."""

    axis: int
    step: Fraction
    before: Fraction
    behind: Fraction


Reach = tuple[Side, Side]


def reach_of_outputs(graph: Any, starts: Mapping[str, tuple[int, int]]) -> list[Reach | None]:
    """What the outputs of an openvino.Model of fixed sizes see of its parameters, None of those
    that see none.

    `starts` says of each parameter, by its friendly name, which axis is its height, before the
    width, and its step. Raises UnknownReachError.
    """
    known: dict[str, Reach | None] = {}
    for node in graph.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        if kind == "Parameter":
            axis, step = starts[name]
            start = Side(axis, Fraction(step), Fraction(0), Fraction(0))
            known[name] = start, replace(start, axis=axis + 1)
        elif kind in _NO_VALUES:
            known[name] = None
        else:
            given = [
                known[node.input_value(place).get_node().get_friendly_name()]
                for place in range(node.get_input_size())
            ]
            known[name] = _through(node, kind, given)
            _require_no_spreading(node, kind, given)
    return [known[output.get_node().get_friendly_name()] for output in graph.outputs]


def _require_no_spreading(node: Any, kind: str, given: list[Reach | None]) -> None:
    """A map that is one pixel high or wide would be spread over all places."""
    if kind not in _POINTWISE:
        return
    whole = list(map(_length, node.get_output_partial_shape(0)))
    for place, one in enumerate(given):
        shape = list(map(_length, node.get_input_partial_shape(place)))
        if one is not None and any(shape[side.axis] != whole[side.axis] for side in one):
            raise UnknownReachError


def _through(node: Any, kind: str, given: list[Reach | None]) -> Reach | None:
    """What an operator's output sees. Raises UnknownReachError."""
    if all(one is None for one in given):
        return None
    if kind in _POINTWISE:
        return _pointwise(node, kind, [one for one in given if one is not None])
    through = _SPATIAL.get(kind)
    image = given[0]
    if through is None or image is None or any(one is not None for one in given[1:]):
        raise UnknownReachError
    return through(node, image)


def _pointwise(node: Any, kind: str, given: list[Reach]) -> Reach:
    """All inputs at one place see what any of them does."""
    rank = len(list(node.get_output_partial_shape(0)))
    axis = node.get_attributes().get(_ALONG_AN_AXIS.get(kind, ""))
    sides = []
    for of_each in zip(*given, strict=True):
        first = of_each[0]
        if any((one.axis, one.step) != (first.axis, first.step) for one in of_each):
            raise UnknownReachError
        if axis is not None and axis % rank == first.axis:
            raise UnknownReachError
        before = max(one.before for one in of_each)
        sides.append(replace(first, before=before, behind=max(one.behind for one in of_each)))
    return sides[0], sides[1]


def _length(side: Any) -> int:
    if side.is_dynamic:
        raise UnknownReachError
    return int(side.get_length())


def _windows(node: Any, image: Reach, sizes: list[int]) -> Reach:
    """A window of `sizes` that moves: convolution and pooling of (N, C, H, W).

    Of a graph of fixed sizes OpenVINO says the padding, by whatever rule it was found: that is one
    for all sizes that are multiples of the network's stride.
    """
    attributes = node.get_attributes()
    if [one.axis for one in image] != [2, 3]:
        raise UnknownReachError
    dilations = attributes.get("dilations", [1, 1])
    sides = []
    for place, one in enumerate(image):
        pad = attributes["pads_begin"][place]
        last = (sizes[place] - 1) * dilations[place] - pad
        sides.append(
            replace(
                one,
                step=one.step * attributes["strides"][place],
                before=one.before + pad * one.step,
                behind=one.behind + max(last, 0) * one.step,
            )
        )
    return sides[0], sides[1]


def _convolution(node: Any, image: Reach) -> Reach:
    return _windows(node, image, list(map(_length, node.get_input_partial_shape(1)))[-2:])


def _pooling(node: Any, image: Reach) -> Reach:
    return _windows(node, image, node.get_attributes()["kernel"])


def _transposed(node: Any, image: Reach) -> Reach:
    attributes = node.get_attributes()
    explicit = attributes["auto_pad"] == "explicit" and node.get_input_size() == 2
    if [one.axis for one in image] != [2, 3] or not explicit:
        raise UnknownReachError
    sizes = list(map(_length, node.get_input_partial_shape(1)))[-2:]
    sides = []
    for place, one in enumerate(image):
        step = one.step / attributes["strides"][place]
        pad = attributes["pads_begin"][place]
        last = (sizes[place] - 1) * attributes["dilations"][place] - pad
        sides.append(
            replace(
                one,
                step=step,
                before=one.before + max(last, 0) * step,
                behind=one.behind + pad * step,
            )
        )
    return sides[0], sides[1]


def _interpolated(node: Any, image: Reach) -> Reach:
    attributes = node.get_attributes()
    neighbors = _NEIGHBORS.get(attributes["mode"])
    moves_with_size = attributes["coordinate_transformation_mode"] == "align_corners"
    pads = (*attributes["pads_begin"], *attributes["pads_end"])
    if neighbors is None or moves_with_size or attributes["antialias"] or any(pads):
        raise UnknownReachError
    before = list(map(_length, node.get_input_partial_shape(0)))
    after = list(map(_length, node.get_output_partial_shape(0)))
    between_two = attributes["coordinate_transformation_mode"] == "half_pixel" and neighbors == 2
    sides = []
    for one in image:
        factor = Fraction(after[one.axis], before[one.axis])
        lower = higher = neighbors * max(Fraction(1), 1 / factor)
        if between_two and factor.denominator == 1:
            lower, higher = _between_two(factor.numerator)
        sides.append(
            replace(
                one,
                step=one.step / factor,
                before=one.before + lower * one.step,
                behind=one.behind + higher * one.step,
            )
        )
    return sides[0], sides[1]


def _between_two(factor: int) -> tuple[Fraction, Fraction]:
    """How far the lower and the higher of the two input pixels are, in these, at most: output pixel
    `o` lies at (o + ½) / factor - ½.
    """
    places = [Fraction(output, factor) for output in range(factor)]
    lowers = [math.floor(place + Fraction(1, 2 * factor) - Fraction(1, 2)) for place in places]
    pairs = list(zip(places, lowers, strict=True))
    return max(place - low for place, low in pairs), max(low + 1 - place for place, low in pairs)


def _turned(node: Any, image: Reach) -> Reach:
    order = node.input_value(1).get_node()
    if order.get_type_name() != "Constant":
        raise UnknownReachError
    axes = order.data.tolist()
    sides = [replace(one, axis=axes.index(one.axis)) for one in image]
    return sides[0], sides[1]


_SPATIAL: Mapping[str, Callable[[Any, Reach], Reach]] = {
    "Convolution": _convolution,
    "GroupConvolution": _convolution,
    "ConvolutionBackpropData": _transposed,
    "GroupConvolutionBackpropData": _transposed,
    "MaxPool": _pooling,
    "AvgPool": _pooling,
    "Interpolate": _interpolated,
    "Transpose": _turned,
}
