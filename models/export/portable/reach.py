"""How far an external network sees."""

import math
from typing import Any

from models.contract.graph_reach import UnknownReachError, reach_of_outputs
from models.export.external_io import IOSpec

_STEPS = 8  # strides of the picture that shapes are taken from


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
        (parameter,) = fixed.get_parameters()
        first = 1 if io_spec.axes == "NHWC" else 2
        sees = reach_of_outputs(fixed, {parameter.get_friendly_name(): (first, 1)})[0]
    except (RuntimeError, UnknownReachError):
        return None
    if sees is None or any(one.step != io_spec.reduction for one in sees):
        return None
    enlarging = 2 * io_spec.reduction if io_spec.reduction > 1 else 0
    widest = max(max(one.before, one.behind) for one in sees)
    return math.ceil(widest) + enlarging
