"""The cut graph with the interpolation done by us, against the whole graph."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops

from models.contract.openvino_core import openvino_core
from service.domain.source import Window
from service.domain.upsampling import Grid, upsampled_class_map
from service.runtimes.openvino_graph import cut_at_logits
from service.settings import BUNDLED_MODELS

CLASS_MAP = 0


def bundled(name: str) -> openvino.Model:
    return openvino_core().read_model(BUNDLED_MODELS / name / "1/assets.extra/openvino/int8.xml")


def run(model: openvino.Model, images: NDArray[np.uint8]) -> NDArray[Any]:
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino_core().compile_model(model, "CPU", settings)
    result: NDArray[Any] = compiled(images)[0].copy()
    return result


def pictures(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Blocks of random color with noise over them, as a scene has large regions."""
    draw = np.random.default_rng(5)
    blocks = draw.integers(0, 256, (count, -(-height // 24), -(-width // 24), 3))
    large = blocks.repeat(24, axis=1).repeat(24, axis=2)[:, :height, :width]
    noise = draw.integers(-20, 21, large.shape)
    images: NDArray[np.uint8] = np.clip(large + noise, 0, 255).astype(np.uint8)
    return images


@pytest.mark.parametrize("name", ["street", "nuclei"])
@pytest.mark.parametrize("size", [(32, 32), (96, 160), (384, 480)])
def test_the_cut_graph_and_our_interpolation_equal_the_whole(
    name: str, size: tuple[int, int]
) -> None:
    model = bundled(name)
    cut = cut_at_logits(model, CLASS_MAP)
    assert cut is not None
    assert cut.factor == 2
    images = pictures(2, *size)
    whole = run(openvino.Model([model.output(CLASS_MAP)], model.get_parameters()), images)
    for expected, logits in zip(whole, run(cut.model, images), strict=True):
        assert logits.shape[1:] == (size[0] // 2, size[1] // 2)
        found = upsampled_class_map(logits, Grid((2, 2)), Window(0, 0, *size))
        assert np.mean(found == expected) > 0.9999


@pytest.mark.parametrize("name", ["street", "nuclei"])
def test_the_cut_graph_gathers_no_pixels(name: str) -> None:
    cut = cut_at_logits(bundled(name), CLASS_MAP)
    assert cut is not None
    gathers = [node for node in cut.model.get_ordered_ops() if node.get_type_name() == "Gather"]
    assert all(len(node.get_output_partial_shape(0)) < 4 for node in gathers)


def test_the_model_itself_stays_whole() -> None:
    model = bundled("nuclei")
    cut_at_logits(model, CLASS_MAP)
    whole = openvino.Model([model.output(0)], model.get_parameters())
    assert run(whole, pictures(1, 50, 70)).shape == (1, 50, 70)


def test_a_graph_without_interpolation_is_left_whole(openvino_store: Path) -> None:
    path = openvino_store / "solvable/1/assets.extra/openvino/fp32.xml"
    assert cut_at_logits(openvino_core().read_model(path), CLASS_MAP) is None


@pytest.mark.parametrize(
    "other",
    [
        {"mode": "cubic"},
        {"mode": "nearest"},
        {"coordinate_transformation_mode": "align_corners"},
        {"antialias": True},
    ],
    ids=str,
)
def test_another_interpolation_is_left_to_the_graph(other: dict[str, Any]) -> None:
    model = bundled("nuclei")
    (last,) = [
        node for node in model.get_ops() if "to_full_resolution" in node.get_friendly_name()
        and node.get_type_name() == "Interpolate"
    ]  # fmt: skip
    attributes = {
        "mode": "linear_onnx",
        "shape_calculation_mode": "sizes",
        "coordinate_transformation_mode": "half_pixel",
    }
    inputs = [last.input_value(place) for place in range(3)]
    replaced = ops.interpolate(inputs[0], inputs[1], axes=inputs[2], **{**attributes, **other})
    last.output(0).replace(replaced.output(0))
    assert cut_at_logits(model, CLASS_MAP) is None
