"""How far an external network sees, computed from OpenVINO's reading of its graph.

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

from models.export.external_io import IOSpec

_STEPS = 8  # strides of the picture that shapes are taken from
# Each value of the output is made of the values at its own place.
_POINTWISE = frozenset(
    """
    Abs Add BatchNormInference Ceiling Clamp Concat Convert Divide Elu Equal Erf Exp
    FakeQuantize Floor Gelu Greater GreaterEqual HSigmoid HSwish HardSigmoid Less LessEqual
    Log LogSoftmax Maximum Minimum Mish Multiply Negative PRelu Power Relu Result Round
    Select Selu Sigmoid Softmax SoftPlus SoftSign Sqrt SquaredDifference Subtract Swish
    Tanh
    """.split()  # noqa: SIM905 - the operators are a table
)
_ALONG_AN_AXIS = {"Concat": "axis", "Softmax": "axis", "LogSoftmax": "axis"}
# Input pixels that an enlarged or shrunk one is made of, to each side.
_NEIGHBORS = {"nearest": 1, "linear": 2, "linear_onnx": 2, "cubic": 3}
_NO_VALUES = ("ShapeOf", "Constant")


class _UnknownError(Exception):
    """An operator may see anything."""


@dataclass(frozen=True)
class _Side:
    """Of height or width: which axis of the tensor it is, and what a place of it sees."""

    axis: int
    step: Fraction
    before: Fraction
    behind: Fraction


Reach = tuple[_Side, _Side]


def receptive_field_radius(graph: Any, io_spec: IOSpec) -> int | None:
    """The distance in pixels beyond which the picture cannot change an output pixel; None where
    that is not known, or the network takes one size alone."""
    if graph is None or io_spec.size is not None:
        return None
    side = max(_STEPS, -(-io_spec.least // io_spec.stride)) * io_spec.stride
    batch, channels = io_spec.batch_size or 1, io_spec.channels
    shape = [batch, side, side, channels]
    if io_spec.axes == "NCHW":
        shape = [batch, channels, side, side]
    fixed = graph.clone()
    try:
        fixed.reshape(shape)
        sees = _reach_of_output(fixed, io_spec)
    except (RuntimeError, _UnknownError):
        return None
    if sees is None or any(one.step != io_spec.reduction for one in sees):
        return None
    enlarging = 2 * io_spec.reduction if io_spec.reduction > 1 else 0
    widest = max(max(one.before, one.behind) for one in sees)
    return math.ceil(widest) + enlarging


def _reach_of_output(graph: Any, io_spec: IOSpec) -> Reach | None:
    first = 1 if io_spec.axes == "NHWC" else 2
    start = Fraction(1), Fraction(0), Fraction(0)
    known: dict[str, Reach | None] = {}
    for node in graph.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        if kind == "Parameter":
            known[name] = (_Side(first, *start), _Side(first + 1, *start))
        elif kind in _NO_VALUES:
            known[name] = None
        else:
            given = [
                known[node.input_value(place).get_node().get_friendly_name()]
                for place in range(node.get_input_size())
            ]
            known[name] = _through(node, kind, given)
            _require_no_spreading(node, kind, given)
    return known[graph.outputs[0].get_node().get_friendly_name()]


def _require_no_spreading(node: Any, kind: str, given: list[Reach | None]) -> None:
    """A map that is one pixel high or wide would be spread over all places."""
    if kind not in _POINTWISE:
        return
    whole = list(map(_length, node.get_output_partial_shape(0)))
    for place, one in enumerate(given):
        shape = list(map(_length, node.get_input_partial_shape(place)))
        if one is not None and any(shape[side.axis] != whole[side.axis] for side in one):
            raise _UnknownError


def _through(node: Any, kind: str, given: list[Reach | None]) -> Reach | None:
    """What an operator's output sees. Raises _UnknownError."""
    if all(one is None for one in given):
        return None
    if kind in _POINTWISE:
        return _pointwise(node, kind, [one for one in given if one is not None])
    through = _SPATIAL.get(kind)
    image = given[0]
    if through is None or image is None or any(one is not None for one in given[1:]):
        raise _UnknownError
    return through(node, image)


def _pointwise(node: Any, kind: str, given: list[Reach]) -> Reach:
    """All inputs at one place see what any of them does."""
    rank = len(list(node.get_output_partial_shape(0)))
    axis = node.get_attributes().get(_ALONG_AN_AXIS.get(kind, ""))
    sides = []
    for of_each in zip(*given, strict=True):
        first = of_each[0]
        if any((one.axis, one.step) != (first.axis, first.step) for one in of_each):
            raise _UnknownError
        if axis is not None and axis % rank == first.axis:
            raise _UnknownError
        before = max(one.before for one in of_each)
        sides.append(replace(first, before=before, behind=max(one.behind for one in of_each)))
    return sides[0], sides[1]


def _length(side: Any) -> int:
    if side.is_dynamic:
        raise _UnknownError
    return int(side.get_length())


def _windows(node: Any, image: Reach, sizes: list[int]) -> Reach:
    """A window of `sizes` that moves: convolution and pooling of (N, C, H, W)."""
    attributes = node.get_attributes()
    if [one.axis for one in image] != [2, 3] or attributes["auto_pad"] not in (
        "explicit",
        "valid",
    ):
        raise _UnknownError
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
        raise _UnknownError
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
        raise _UnknownError
    before = list(map(_length, node.get_input_partial_shape(0)))
    after = list(map(_length, node.get_output_partial_shape(0)))
    sides = []
    for one in image:
        factor = Fraction(after[one.axis], before[one.axis])
        wider = neighbors * one.step * max(Fraction(1), 1 / factor)
        sides.append(
            replace(
                one,
                step=one.step / factor,
                before=one.before + wider,
                behind=one.behind + wider,
            )
        )
    return sides[0], sides[1]


def _turned(node: Any, image: Reach) -> Reach:
    order = node.input_value(1).get_node()
    if order.get_type_name() != "Constant":
        raise _UnknownError
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
