"""Convolutions behind an enlargement by two, computed before it.

Decoders double their features by nearest neighbor and convolve by 3×3 then (U-Net of
segmentation_models_pytorch and others), often beside a skip that is concatenated. Of the nine
taps that meet a doubled map only four see different pixels: together both are a transposed
convolution of 4×4 and stride 2, with the sums of taps as its kernel (Shi et al. 2016, "Is the
deconvolution layer the same as a convolutional layer?"). That is 4/9 of the work, and neither the
enlarged map nor the concatenation is written.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export.external_io import IOSpec

_STEPS = (3, 5)  # two sizes, in strides: what doubles at both does at all
# What maps pixel 2i and 2i + 1 to i.
_NEAREST = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("tf_half_pixel_for_nn", "floor"),
}


def merge_doublings(graph: Any, io_spec: IOSpec) -> int:
    """Change an openvino.Model in place, and give the number of convolutions that were merged."""
    doubling = _doublings(graph, io_spec)
    merged = 0
    for node in graph.get_ordered_ops() if doubling else ():
        merged += _merge(node, doubling)
    if merged:
        graph.validate_nodes_and_infer_types()
    return merged


def _doublings(graph: Any, io_spec: IOSpec) -> frozenset[str]:
    """The names of the interpolations that double height and width of (N, C, H, W), and no
    more."""
    names = frozenset(n.get_friendly_name() for n in graph.get_ops() if _is_nearest(n))
    least = -(-io_spec.least // io_spec.stride)
    some = [(max(least, step) * io_spec.stride) for step in _STEPS]
    sizes = [io_spec.size] if io_spec.size else [(some[0], some[1]), (some[1] + some[0], some[0])]
    for size in sizes if names else ():
        fixed = graph.clone()
        batch, channels = io_spec.batch_size or 1, io_spec.channels
        nhwc = [batch, *size, channels]
        try:
            fixed.reshape(nhwc if io_spec.axes == "NHWC" else [batch, channels, *size])
        except RuntimeError:  # it has other sizes than were found; it stays as it is
            return frozenset()
        names &= {n.get_friendly_name() for n in fixed.get_ops() if _is_nearest(n) and _doubles(n)}
    return names


def _is_nearest(node: Any) -> bool:
    if node.get_type_name() != "Interpolate":
        return False
    attributes = node.get_attributes()
    way = attributes["coordinate_transformation_mode"], attributes["nearest_mode"]
    pads = (*attributes["pads_begin"], *attributes["pads_end"])
    return attributes["mode"] == "nearest" and way in _NEAREST and not any(pads)


def _doubles(node: Any) -> bool:
    before, after = node.get_input_partial_shape(0), node.get_output_partial_shape(0)
    if before.is_dynamic or after.is_dynamic or len(list(before)) != 4:
        return False
    (n, c, h, w), enlarged = before.to_shape(), list(after.to_shape())
    return enlarged == [n, c, 2 * h, 2 * w]


def _merge(node: Any, doubling: frozenset[str]) -> bool:
    """Put a convolution before the doubling that its input, or a part of that, comes from."""
    from openvino import opset13 as op

    kernel = _kernel(node)
    if kernel is None:
        return False
    parts = _parts(node.input_value(0))
    widths = [part.get_partial_shape()[1] for part in parts]
    if any(width.is_dynamic for width in widths):
        return False
    ends = np.cumsum([width.get_length() for width in widths])
    doubled = [_alone(part) and part.get_node().get_friendly_name() in doubling for part in parts]
    if not any(doubled) or ends[-1] != kernel.shape[1]:
        return False
    total = None
    for group in _groups(doubled):
        first = ends[group[0] - 1] if group[0] else 0
        taps = kernel[:, first : ends[group[-1]]]
        if doubled[group[0]]:
            low = parts[group[0]].get_node().input_value(0)
            gives = op.convolution_backprop_data(
                low, op.constant(_sums_of_taps(taps)), [2, 2], None, [1, 1], [1, 1], [1, 1]
            )
        else:
            together = [parts[place] for place in group]
            image = op.concat(together, 1) if len(together) > 1 else together[0]
            taps = np.ascontiguousarray(taps)
            gives = op.convolution(image, op.constant(taps), [1, 1], [1, 1], [1, 1], [1, 1])
        total = gives if total is None else op.add(total, gives)
    assert total is not None  # there is a part
    total.set_friendly_name(node.get_friendly_name())
    node.output(0).replace(total.output(0))
    return True


def _kernel(node: Any) -> NDArray[np.float32] | None:
    """The weights (out, in, 3, 3) of a 3×3 convolution that keeps the size, else None."""
    if node.get_type_name() != "Convolution":
        return None
    weights, attributes = node.input_value(1).get_node(), node.get_attributes()
    if weights.get_type_name() != "Constant" or weights.get_element_type().to_dtype() != np.float32:
        return None
    steps = (*attributes["strides"], *attributes["dilations"])
    pads = (*attributes["pads_begin"], *attributes["pads_end"])
    kernel: NDArray[np.float32] = weights.data
    keeps_size = set(steps) == {1} and set(pads) == {1} and attributes["auto_pad"] == "explicit"
    return kernel if keeps_size and kernel.shape[2:] == (3, 3) else None


def _parts(image: Any) -> list[Any]:
    """What a convolution's input is put together of."""
    node = image.get_node()
    if node.get_type_name() != "Concat" or node.get_attributes()["axis"] != 1 or not _alone(image):
        return [image]
    return [node.input_value(place) for place in range(node.get_input_size())]


def _alone(output: Any) -> bool:
    """Whether one node takes its values; others may take its shape."""
    takers = [target.get_node().get_type_name() for target in output.get_target_inputs()]
    return len([taker for taker in takers if taker != "ShapeOf"]) == 1


def _groups(doubled: Sequence[bool]) -> list[list[int]]:
    """Places one after the other that are convolved together: each doubled one for itself."""
    groups: list[list[int]] = []
    for place, is_doubled in enumerate(doubled):
        if groups and not is_doubled and not doubled[place - 1]:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _sums_of_taps(taps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The kernel (in, out, 4, 4) of the transposed convolution that a 3×3 convolution (out, in, 3,
    3) is with a doubling before it."""
    turned = taps[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    sums = np.zeros((*turned.shape[:2], 4, 4), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            sums[:, :, row : row + 3, column : column + 3] += turned
    return sums
