"""An external graph with our input and output put into it, for OpenVINO.

What the network wants of its pixels is OpenVINO's own PrePostProcessor; the mirrored edges, the
class map and the probabilities are a few operators more. The result takes uint8 (N, H, W, C) and
gives `OPENVINO_OUTPUTS`, as the files of our own networks do.
"""

import math
from typing import Any

import numpy as np

from models.contract import OPENVINO_OUTPUTS, Overlap
from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.external_io import IOSpec, value_range
from models.export.portable.doubling import merge_doublings
from models.export.portable.network import PortableNetwork, short_cause

LEAST_PROBABILITY = 1e-7


def wrapped(
    network: PortableNetwork,
    io_spec: IOSpec,
    options: AdoptOptions,
    classes: int,
    overlap: Overlap | None = None,
) -> Any:
    """The openvino.Model to serve: it takes pictures of any size, or of `io_spec.size` alone.

    Raises AdoptionError where OpenVINO cannot put it together.
    """
    import openvino

    try:
        graph = network.graph.clone()
        graph = openvino.Model([graph.output(network.output)], graph.get_parameters(), "external")
        merge_doublings(graph, io_spec)
        graph = _with_pixels(graph, network.input_dtype, io_spec, options)
        images, size = graph.get_parameters()[0], None
        if io_spec.size is None:
            pixels, (images, fitted, size) = images, _mirrored_images(io_spec)
            pixels.output(0).replace(fitted.output(0))
        raw = graph.outputs[0].get_node().input_value(0)
        results = (
            _results(raw, size, io_spec, options, classes)
            if overlap is None
            else _overlapping_results(raw, size, io_spec, overlap)
        )
        model = openvino.Model(list(results), [images], "external")
        model.validate_nodes_and_infer_types()
    except RuntimeError as error:
        raise AdoptionError(f"OpenVINO cannot wrap this model: {short_cause(error)}") from error
    model.inputs[0].get_tensor().set_names({"images"})
    for output, name in zip(model.outputs, OPENVINO_OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    return model


def _with_pixels(graph: Any, dtype: str, io_spec: IOSpec, options: AdoptOptions) -> Any:
    """The graph that takes pixel values 0–255 uint8 (N, H, W, C) of a size that it takes."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    batch = -1 if io_spec.batch_size is None else io_spec.batch_size
    sides = io_spec.size or (-1, -1)
    shape = [batch, *sides, io_spec.channels]
    graph.reshape(shape if io_spec.axes == "NHWC" else [batch, io_spec.channels, *sides])
    steps = PrePostProcessor(graph)
    images = steps.input()
    images.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    images.model().set_layout(Layout(io_spec.axes))
    order = images.preprocess()
    if options.channel_order == "bgr" and io_spec.channels == 3:
        order.reverse_channels()
    low, high = value_range(options)
    step = (high - low) / 255
    mean = [(value - low) / step for value in _each(options.mean, 0.0, io_spec.channels)]
    std = [value / step for value in _each(options.std, 1.0, io_spec.channels)]
    changes_values = any(mean) or any(value != 1 for value in std)
    if changes_values or dtype != "uint8":
        order.convert_element_type(Type.f32)
    if any(mean):
        order.mean(mean)
    if any(value != 1 for value in std):
        order.scale(std)
    return steps.build()


def _each(values: tuple[float, ...] | None, default: float, channels: int) -> list[float]:
    """One value a channel."""
    given = values or (default,)
    return list(given) if len(given) == channels else [given[0]] * channels


def _mirrored_images(io_spec: IOSpec) -> tuple[Any, Any, Any]:
    """Images of any size; the same, mirrored at the bottom and right to what the network takes; and
    their own height and width."""
    from openvino import opset13 as op

    batch = -1 if io_spec.batch_size is None else io_spec.batch_size
    images = op.parameter([batch, -1, -1, io_spec.channels], np.uint8, name="images")
    shape = op.shape_of(images, "i64")
    size = op.gather(shape, _integers([1, 2]), _integers(0))
    if io_spec.stride == 1 and io_spec.least == 1:
        return images, images, size
    fitted = images
    for axis in (1, 2):
        own = op.gather(shape, _integers(axis), _integers(0))
        multiples = op.divide(op.add(own, _integers(io_spec.stride - 1)), _integers(io_spec.stride))
        padded = op.maximum(
            op.multiply(multiples, _integers(io_spec.stride)), _integers(io_spec.least)
        )
        period = op.maximum(op.multiply(op.subtract(own, _integers(1)), _integers(2)), _integers(1))
        position = op.floor_mod(op.range(_integers(0), padded, _integers(1), "i64"), period)
        fitted = op.gather(
            fitted, op.minimum(position, op.subtract(period, position)), _integers(axis)
        )
    return images, fitted, size


def _results(
    raw: Any, size: Any, io_spec: IOSpec, options: AdoptOptions, classes: int
) -> tuple[Any, Any]:
    """The class map uint8 (N, H, W) and the probabilities float32 (N, H, W, classes)."""
    from openvino import opset13 as op

    planes = _planes(raw, io_spec)
    if io_spec.output == "class_map":
        if io_spec.reduction > 1:
            planes = _enlarged(planes, io_spec.reduction, "nearest")
        ids = op.squeeze(op.convert(_cropped(planes, size), "i64"), _integers([1]))
        on, off = op.constant(np.float32(1)), op.constant(np.float32(0))
        return op.convert(ids, "u8"), op.one_hot(ids, _integers(classes), on, off, -1)
    if io_spec.reduction > 1:
        planes = _enlarged(planes, io_spec.reduction, "linear_onnx")
    scores = _scores(_cropped(planes, size), io_spec, options, classes)
    if io_spec.output == "logits" or io_spec.output_channels < classes:
        probabilities = op.softmax(scores, 1)
    else:
        total = op.reduce_sum(scores, _integers([1]), True)
        probabilities = op.divide(scores, total)
    highest = op.topk(scores, _integers(1), 1, "max", "value", "i32")
    class_map = op.convert(op.squeeze(highest.output(1), _integers([1])), "u8")
    return class_map, op.transpose(probabilities, _integers([0, 2, 3, 1]))


def _overlapping_results(raw: Any, size: Any, io_spec: IOSpec, overlap: Overlap) -> tuple[Any, Any]:
    """As `_results`, of classes that each have a probability of their own; that of the background
    is what the likeliest of them lacks."""
    from openvino import opset13 as op

    planes = _planes(raw, io_spec)
    if io_spec.reduction > 1:
        planes = _enlarged(planes, io_spec.reduction, "linear_onnx")
    planes = _cropped(planes, size)
    if io_spec.output == "logits":
        planes = op.sigmoid(planes)
    one = op.constant(np.float32(1))
    none = op.subtract(one, op.reduce_max(planes, _integers([1]), True))
    there = op.greater(planes, op.constant(np.float32(overlap.threshold)))
    ranks = np.zeros((1, len(overlap.priority), 1, 1), np.float32)
    for place, class_id in enumerate(overlap.priority):
        ranks[0, class_id - 1] = len(overlap.priority) - place
    ranked = op.multiply(op.convert(there, "f32"), op.constant(ranks))
    background = op.add(op.multiply(none, op.constant(np.float32(0))), op.constant(np.float32(0.5)))
    highest = op.topk(op.concat([background, ranked], 1), _integers(1), 1, "max", "value", "i32")
    class_map = op.convert(op.squeeze(highest.output(1), _integers([1])), "u8")
    probabilities = op.concat([none, planes], 1)
    return class_map, op.transpose(probabilities, _integers([0, 2, 3, 1]))


def _planes(raw: Any, io_spec: IOSpec) -> Any:
    """The network's output as float32 (N, channels, h, w)."""
    from openvino import opset13 as op

    planes = op.convert(raw, "f32")
    if raw.get_partial_shape().rank.get_length() == 3:
        return op.unsqueeze(planes, _integers([1]))
    if io_spec.output_axes == "NHWC":
        return op.transpose(planes, _integers([0, 3, 1, 2]))
    return planes


def _enlarged(planes: Any, factor: int, mode: str) -> Any:
    from openvino import opset13 as op

    scales = op.constant(np.array([factor, factor], np.float32))
    return op.interpolate(
        planes,
        scales,
        mode,
        "scales",
        pads_begin=[0, 0, 0, 0],
        pads_end=[0, 0, 0, 0],
        coordinate_transformation_mode="half_pixel",
        nearest_mode="floor" if mode == "nearest" else "round_prefer_floor",
        axes=_integers([2, 3]),
    )


def _cropped(planes: Any, size: Any) -> Any:
    """Without what was mirrored; all of it where there is no `size`."""
    from openvino import opset13 as op

    if size is None:
        return planes
    return op.slice(planes, _integers([0, 0]), size, _integers([1, 1]), _integers([2, 3]))


def _scores(planes: Any, io_spec: IOSpec, options: AdoptOptions, classes: int) -> Any:
    """One plane a class: logits, or shares that are above 0. Where the channels leave the first
    class out, it wins where all of them are below the threshold."""
    from openvino import opset13 as op

    leaves_first_out = io_spec.output_channels < classes
    if io_spec.output != "logits":
        planes = op.clamp(planes, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        if leaves_first_out:
            one = op.constant(np.float32(1))
            planes = op.subtract(op.log(planes), op.log(op.subtract(one, planes)))
    if not leaves_first_out:
        return planes
    odds = options.threshold / (1 - options.threshold)
    above = op.subtract(planes, op.constant(np.float32(math.log(odds))))
    first = op.slice(above, _integers([0]), _integers([1]), _integers([1]), _integers([1]))
    none = op.multiply(first, op.constant(np.float32(0)))
    return op.concat([none, above], 1)


def _integers(values: int | list[int]) -> Any:
    from openvino import opset13 as op

    return op.constant(np.array(values, np.int64))
