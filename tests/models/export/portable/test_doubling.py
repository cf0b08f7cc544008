"""Convolutions that are computed before the enlargement that they follow, as OpenVINO graphs."""

from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as op

from models.contract.openvino_core import openvino_core
from models.export.external_io import IOSpec
from models.export.portable.doubling import merge_doublings

SPEC = IOSpec("NCHW", 3, None, None, 4, 4, 1, "logits", "NCHW", 5, ())
DRAW = np.random.default_rng(3)


def weights(out: int, into: int, side: int = 3) -> Any:
    return op.constant(DRAW.normal(size=(out, into, side, side)).astype(np.float32))


def conv(image: Any, kernel: Any, stride: int = 1, pad: int = 1) -> Any:
    return op.convolution(image, kernel, [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])


def enlarged(low: Any, like: Any | None, factor: float, mode: str = "nearest") -> Any:
    """By a factor, or to the height and width of `like`."""
    way = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    pads = {"pads_begin": [0] * 4, "pads_end": [0] * 4}
    axes = op.constant(np.array([2, 3], np.int64))
    if like is None:
        scales = op.constant(np.array([factor] * 2, np.float32))
        return op.interpolate(low, scales, mode, "scales", **pads, axes=axes, **way)
    sizes = op.gather(op.shape_of(like, "i64"), axes, op.constant(np.int64(0)))
    return op.interpolate(low, sizes, mode, "sizes", **pads, axes=axes, **way)


def unet(kind: str) -> openvino.Model:
    """Down and up again, with a skip."""
    image = op.parameter([-1, 3, -1, -1], np.float32, name="image")
    skip = op.relu(conv(image, weights(4, 3)))
    step, factor = (4, 4.0) if kind == "fourfold" else (2, 2.0)
    low = op.relu(conv(skip, weights(6, 4, step), step, 0))
    up = enlarged(
        low, skip if kind == "sizes" else None, factor, "linear" if kind == "linear" else "nearest"
    )
    together = op.concat([skip, up, skip] if kind == "between" else [up, skip], 1)
    kernel = weights(5, 14 if kind == "between" else 10)
    logits = conv(up, weights(5, 6)) if kind == "alone" else conv(together, kernel)
    results = [logits, op.relu(up)] if kind == "used twice" else [logits]
    return openvino.Model(results, [image], kind)


@pytest.mark.parametrize(
    ("kind", "merged"),
    [
        ("scales", 1),
        ("sizes", 1),
        ("alone", 1),
        ("between", 1),
        ("linear", 0),
        ("fourfold", 0),
        ("used twice", 0),
    ],
)
def test_what_is_merged_gives_the_same(kind: str, merged: int) -> None:
    before = unet(kind)
    after = before.clone()
    assert merge_doublings(after, SPEC) == merged
    core = openvino_core()
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    run = [core.compile_model(model, "CPU", hint) for model in (before, after)]
    for height, width in ((4, 4), (8, 12), (36, 20), (4, 44)):
        image = DRAW.normal(size=(2, 3, height, width)).astype(np.float32)
        expected, given = (compiled([image])[0] for compiled in run)
        np.testing.assert_allclose(given, expected, atol=2e-4)
    kinds = {node.get_type_name() for node in after.get_ops()}
    assert ("Interpolate" in kinds) == (not merged)
