"""Cut an OpenVINO graph at its logits.

Our networks end in a bilinear interpolation of the logits, the crop of what MirrorPad added, and an
argmax. These three take 30 % of an int8 picture's time and half of its memory, and
`domain/upsampling.py` does the same on the low-resolution logits for a fraction of it. MirrorPad
itself is left out too: whoever runs the cut graph pads.

Networks made elsewhere are wrapped alike (`models/export/portable/wrapping.py`), channels first.
Most give logits of the picture's own size; what is saved then is OpenVINO's argmax, which with
dynamic sizes takes several times as long as numpy's.

Whoever pads knows the least height and width, and a graph that knows them too runs faster: a sum of
two maps whose sizes have different lower bounds is copied from one to the other first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openvino

# Half-pixel centers without antialiasing: what `domain/upsampling.py` computes.
_BILINEAR = {
    "coordinate_transformation_mode": "half_pixel",
    "antialias": False,
    "pads_begin": [0, 0, 0, 0],
    "pads_end": [0, 0, 0, 0],
}
_BILINEAR_MODES = ("linear_onnx", "linear")
_NHWC_FROM_NCHW = [0, 2, 3, 1]
_NCHW_FROM_NHWC = [0, 3, 1, 2]
_SPATIAL_AXES = [1, 2]
_PLANE_AXES = [2, 3]  # of (N, channels, H, W)
_PASSED_ON = ("Convert", "FakeQuantize")
# crop and argmax, where one logit or sigmoid leaves the first class out
_BETWEEN = ("Clamp", "Concat", "Log", "Multiply", "Slice", "Subtract")
_MOST_BETWEEN = 8


@dataclass(frozen=True)
class LogitsModel:
    """A model whose only output is logits (N, classes, H / factor, W / factor), for H and W that
    are multiples of the stride.
    """

    model: openvino.Model
    factor: int


def cut_at_logits(model: openvino.Model, class_map: int, least_side: int = 1) -> LogitsModel | None:
    """A copy of `model` cut before the interpolation that its output number `class_map` ends in, or
    before its argmax where it was made elsewhere; None where it ends otherwise. It is run on
    pictures of `least_side` and more.

    Every link of the chain is compared with what it must be, so a graph of another making is left
    as it is.
    """
    copy = model.clone()
    result = copy.outputs[class_map].get_node()
    found = _own_logits(result) or _external_logits(result)
    if found is None:
        return None
    logits, factor = found
    images = copy.get_parameters()[0]
    _remove_mirror_pad(images)
    cut = openvino.Model([logits], [images], "logits")
    batch, *sides, channels = images.get_partial_shape()
    sides = [openvino.Dimension(least_side, -1) if side.is_dynamic else side for side in sides]
    cut.reshape(openvino.PartialShape([batch, *sides, channels]))
    return LogitsModel(cut, factor)


def _own_logits(result: Any) -> tuple[Any, int] | None:
    """The output that has the logits of a network of ours, and how many pixels one is."""
    interpolation = _interpolation_before(result)
    if interpolation is None:
        return None
    factor = _whole_factor(interpolation)
    logits = _source(interpolation, 0)
    if factor is None or _constant(logits, 1) != _NHWC_FROM_NCHW:
        return None
    return logits.input_value(0), factor


def _external_logits(result: Any) -> tuple[Any, int] | None:
    """As `_own_logits`, of a network that was made elsewhere: what both TopK and Softmax take,
    without the crop on the way there."""
    node = result
    for kind in ("Convert", "Squeeze", "TopK"):
        node = _source(node, 0)
        if node.get_type_name() != kind:
            return None
    if not _takes_the_largest(node, node.get_attributes(), axes=(1,)):
        return None
    logits = node.input_value(0)
    if "Softmax" not in {taker.get_node().get_type_name() for taker in logits.get_target_inputs()}:
        return None  # shares or sigmoids, which are no logits
    last = logits.get_node()
    crop = _crop_before(last)
    if crop is None and logits.get_partial_shape()[2:].is_dynamic:
        return None
    if crop is not None:  # pictures of any size, which are padded before they come here
        crop.output(0).replace(crop.input_value(0))
        last = _source(crop, 0) if crop is last else last
    factor = _scale_of(last)
    if factor is not None:
        return last.input_value(0), factor
    return last.output(0) if crop is not None else logits, 1


def _crop_before(node: Any) -> Any | None:
    """The Slice of height and width at or above a node, with what puts a class before the others in
    between."""
    for _ in range(_MOST_BETWEEN):
        if node.get_type_name() == "Slice" and _constant(node, 4) == _PLANE_AXES:
            return node
        if node.get_type_name() not in _BETWEEN:
            return None
        node = _source(node, 0)
    return None


def _scale_of(node: Any) -> int | None:
    """The whole factor by which an Interpolate of `scales` enlarges bilinearly; None of others."""
    if node.get_type_name() != "Interpolate":
        return None
    attributes = node.get_attributes()
    scales = _constant(node, 1)
    if not _is_bilinear(node, attributes, axes=_PLANE_AXES) or scales is None:
        return None
    by_scales = attributes["shape_calculation_mode"] == "scales" and len(set(scales)) == 1
    return int(scales[0]) if by_scales and scales[0] == int(scales[0]) else None


def _interpolation_before(result: Any) -> Any | None:
    """The Interpolate in Result ← Convert ← Squeeze ← TopK ← StridedSlice ← Interpolate ←
    Transpose.
    """
    node = result
    for kind in ("Convert", "Squeeze", "TopK", "StridedSlice", "Interpolate"):
        node = _source(node, 0)
        if node.get_type_name() != kind or not _is_as_expected(node):
            return None
    return node if _source(node, 0).get_type_name() == "Transpose" else None


def _is_as_expected(node: Any) -> bool:
    check = _CHECKS.get(node.get_type_name())
    return check is None or check(node, node.get_attributes())


def _takes_the_largest(
    node: Any, attributes: dict[str, Any], axes: tuple[int, ...] = (3, -1)
) -> bool:
    return attributes["mode"] == "max" and _constant(node, 1) == 1 and attributes["axis"] in axes


def _crops_from_the_top_left(node: Any, _attributes: dict[str, Any]) -> bool:
    begin, steps = _constant(node, 1), _constant(node, 3)
    return begin is not None and not any(begin) and steps is not None and set(steps) == {1}


def _is_bilinear(node: Any, attributes: dict[str, Any], axes: list[int] = _SPATIAL_AXES) -> bool:
    same = all(attributes[name] == value for name, value in _BILINEAR.items())
    places = _constant(node, node.get_input_size() - 1)
    return same and attributes["mode"] in _BILINEAR_MODES and places == axes


_CHECKS: dict[str, Callable[[Any, dict[str, Any]], bool]] = {
    "TopK": _takes_the_largest,
    "StridedSlice": _crops_from_the_top_left,
    "Interpolate": _is_bilinear,
}


def _whole_factor(interpolation: Any) -> int | None:
    """Its factor, where its sizes are those of its input times one whole number."""
    sizes = _source(interpolation, 1)
    if sizes.get_type_name() != "Multiply":
        return None
    factors = {value for place in (0, 1) for value in _constant(sizes, place) or []}
    (factor,) = factors if len(factors) == 1 else (0,)
    return int(factor) if factor > 0 and factor == int(factor) else None


def _remove_mirror_pad(parameter: Any) -> None:
    """Let what comes after MirrorPad's two Gathers take the image as it is.

    They gather along the height and the width, which lie elsewhere behind a Transpose.
    """
    image, spatial_axes = parameter.output(0), _SPATIAL_AXES
    left_out: list[str] = []  # they go on taking the image until the graph is gone through anew
    while True:
        found = [
            node for node in _image_consumers(image) if node.get_friendly_name() not in left_out
        ]
        if len(found) != 1:
            return
        (node,) = found
        if node.get_type_name() == "Gather" and _gathered_axis(node) in spatial_axes:
            node.output(0).replace(image)
            left_out.append(node.get_friendly_name())
        elif node.get_type_name() in _PASSED_ON:
            image = node.output(0)
        elif node.get_type_name() == "Transpose" and _constant(node, 1) == _NCHW_FROM_NHWC:
            image, spatial_axes = node.output(0), [2, 3]
        else:
            return


def _gathered_axis(gather: Any) -> Any:
    axis = _constant(gather, 2)
    return axis[0] if isinstance(axis, list) and len(axis) == 1 else axis


def _image_consumers(image: Any) -> list[Any]:
    """What takes the pixels, and not only their shape."""
    nodes = [target.get_node() for target in image.get_target_inputs()]
    return [node for node in nodes if node.get_type_name() != "ShapeOf"]


def _source(node: Any, place: int) -> Any:
    return node.input_value(place).get_node()


def _constant(node: Any, place: int) -> Any:
    """The value of a constant input, as a list or a number; None where it is computed."""
    source = _source(node, place)
    return source.data.tolist() if source.get_type_name() == "Constant" else None
