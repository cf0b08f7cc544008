"""What a frozen TensorFlow graph is made into, for a CPU.

It is cut where its logits are still small, as `openvino_graph.py` does: interpolation, crop and
argmax of the logits at full size take a tenth of a picture's time, and `domain/upsampling.py` does
the same on the low-resolution logits for a fraction of it. And it runs on the thread that calls.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Run = Callable[[NDArray[np.uint8]], NDArray[Any]]

_TAIL = ("Cast", "ArgMax", "StridedSlice", "ResizeBilinear")
_LAST_AXIS = (3, -1)


@dataclass(frozen=True)
class LogitsFunction:
    """`function` maps images (N, H, W, C) to a list of one tensor: logits (N, classes, H' / factor,
    W' / factor) of the images as the graph pads them.
    """

    function: Any
    factor: int


def as_function(function: Any) -> Run:
    """`function`, of one tensor to a list of one, computed where TensorFlow wants."""
    return lambda images: function(tf.constant(images))[0].numpy()


class OnCallingThread:
    """`function`, of one tensor to a list of one, computed by the thread that calls.

    A function's operations go to threads of TensorFlow's own, and the last of them wakes the caller
    on the core where the next picture is computed. A session whose inter-op threads are negative
    has its caller do all of it (`run_in_caller_thread_` of TensorFlow's `direct_session.cc`).
    """

    def __init__(self, function: Any) -> None:
        self.graph = function.graph
        self._dtype = function.inputs[0].dtype
        options = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=-1)
        session = tf.compat.v1.Session(graph=self.graph, config=options)
        # By name: outside its graph a tensor is no key.
        self._run = session.make_callable(function.outputs[0].name, [function.inputs[0].name])

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        if images.dtype != self._dtype.as_numpy_dtype:  # the session would cast them
            raise TypeError(f"images of {images.dtype}; the graph takes {self._dtype.name}")
        return self._run(images)  # type: ignore[no-any-return]


def cut_at_logits(frozen: Any) -> LogitsFunction | None:
    """`frozen`, a function of one output, cut before the interpolation that its class map ends in;
    None where it ends otherwise. Every link of the chain is compared with what it must be.
    """
    operation = _behind_identities(frozen.outputs[0])
    for kind in _TAIL:
        if operation.type != kind or not _is_as_expected(operation):
            return None
        last, operation = operation, _behind_identities(operation.inputs[0])
    factor = _whole_factor(last)
    if factor is None:
        return None
    with frozen.graph.as_default():
        planes = tf.transpose(last.inputs[0], (0, 3, 1, 2))
    return LogitsFunction(frozen.prune(frozen.inputs, [planes]), factor)


def _behind_identities(tensor: Any) -> Any:
    operation = tensor.op
    while operation.type == "Identity":
        operation = operation.inputs[0].op
    return operation


def _is_as_expected(operation: Any) -> bool:
    match operation.type:
        case "ArgMax":
            return tf.get_static_value(operation.inputs[1]) in _LAST_AXIS
        case "StridedSlice":
            begin, steps = map(tf.get_static_value, (operation.inputs[1], operation.inputs[3]))
            no_axis_goes = not operation.get_attr("shrink_axis_mask")
            none_comes = not operation.get_attr("new_axis_mask")
            from_the_top_left = begin is not None and not any(begin)
            every_pixel = steps is not None and set(steps) == {1}
            return no_axis_goes and none_comes and from_the_top_left and every_pixel
        case "ResizeBilinear":
            half_pixel = operation.get_attr("half_pixel_centers")
            return bool(half_pixel) and not operation.get_attr("align_corners")
    return True


def _whole_factor(resize: Any) -> int | None:
    """Its factor, where its size is that of its input times one whole number."""
    size = resize.inputs[1].op
    if size.type != "Mul":
        return None
    factors = [value for value in map(tf.get_static_value, size.inputs) if value is not None]
    sizes = [one.op for one in size.inputs if tf.get_static_value(one) is None]
    is_of_its_input = (
        len(sizes) == 1
        and sizes[0].type == "StridedSlice"
        and sizes[0].inputs[0].op.type == "Shape"
        and sizes[0].inputs[0].op.inputs[0] is resize.inputs[0]
    )
    if len(factors) != 1 or factors[0].size != 1 or not is_of_its_input:
        return None
    factor = int(factors[0])
    return factor if factor > 0 else None
