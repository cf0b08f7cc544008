"""A graph cut in three, run part by part, against the graph."""

from typing import Any

import numpy as np
import openvino
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops

from models.contract.openvino_core import openvino_core
from service.runtimes.openvino_graph import LogitsModel, cut_at_logits
from service.runtimes.openvino_stages import StageModels, cut_in_stages
from tests.service.runtimes.test_openvino_graph import CLASS_MAP, bundled, pictures

STRIDE = 8


def outcome(model: openvino.Model, *inputs: NDArray[Any]) -> NDArray[Any]:
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result: NDArray[Any] = compiled(list(inputs))[0].copy()
    return result


def in_stages(found: StageModels, images: NDArray[np.uint8]) -> NDArray[Any]:
    shallow = outcome(found.models["shallow"], images)
    deep = outcome(found.models["deep"], shallow)
    assert [shallow.dtype, deep.dtype] == [found.facts.shallow.dtype, found.facts.deep.dtype]
    return outcome(found.models["tail"], images, shallow, deep)


def small_u_net(
    *, around: bool = False, mean: bool = False, normalised: bool = False
) -> LogitsModel:
    """In floating point, of stride 8, with logits at half of the size. A way leads `around` its
    skip maps, its deepest map has a `mean` over the picture, or the decoder's skip map is
    `normalised`.
    """
    draw = np.random.default_rng(2)

    def conv(x: Any, channels: int, stride: int = 1) -> Any:
        weights = draw.normal(
            0, 0.2, (channels, x.get_output_partial_shape(0)[1].get_length(), 3, 3)
        )
        kernel = ops.constant(weights.astype(np.float32))
        pads = [[1, 1], [1, 1]] if stride == 1 else [[0, 0], [1, 1]]
        return ops.relu(ops.convolution(x, kernel, [stride] * 2, *pads, [1, 1]))

    def doubled(x: Any) -> Any:
        factors = ops.constant(np.array([2, 2], np.float32))
        axes = ops.constant(np.array([2, 3]))
        return ops.interpolate(x, factors, "linear_onnx", "scales", axes=axes)

    image = ops.parameter([-1, -1, -1, 3], np.uint8)
    planes = ops.transpose(ops.convert(image, "f32"), ops.constant(np.array([0, 3, 1, 2])))
    half = conv(ops.multiply(planes, ops.constant(np.float32(1 / 255))), 4, 2)
    quarter = conv(half, 6, 2)
    eighth = conv(quarter, 8, 2)
    if mean:
        axes = ops.constant(np.array([2, 3]))
        eighth = ops.add(eighth, ops.reduce_mean(eighth, axes, keep_dims=True))
    skip = quarter
    if normalised:
        skip = ops.add(ops.multiply(quarter, ops.constant(np.float32(0.5))), np.float32(-0.25))
    deep = conv(ops.concat([skip, doubled(eighth)], 1), 6)
    if around:
        deep = ops.add(deep, conv(conv(planes, 6, 2), 6, 2))
    logits = conv(ops.concat([half, doubled(deep)], 1), 5)
    return LogitsModel(openvino.Model([logits], [image]), 2)


@pytest.mark.parametrize("name", ["street", "nuclei", "pets"])
def test_the_parts_of_a_bundled_network_give_its_logits_bit_for_bit(name: str) -> None:
    logits = cut_at_logits(bundled(name), CLASS_MAP)
    assert logits is not None
    found = cut_in_stages(logits, 32)
    assert found is not None
    images = pictures(2, 160, 224)
    np.testing.assert_array_equal(in_stages(found, images), outcome(logits.model, images))
    assert found.facts.radii["tail"] <= 64
    assert found.facts.radii["deep"] < 366  # that of the network


@pytest.mark.parametrize("normalised", [False, True])
def test_a_graph_in_floating_point_is_cut_at_its_values(normalised: bool) -> None:
    logits = small_u_net(normalised=normalised)
    found = cut_in_stages(logits, STRIDE)
    assert found is not None
    assert (found.facts.shallow.step, found.facts.deep.step) == (2, 4)
    images = pictures(1, 64, 96)
    expected = outcome(logits.model, images)
    np.testing.assert_allclose(in_stages(found, images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fault", ["around", "mean"])
def test_what_cannot_be_cut_so_is_left_whole(fault: str) -> None:
    assert cut_in_stages(small_u_net(**{fault: True}), STRIDE) is None
