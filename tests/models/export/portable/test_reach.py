"""How far external networks see: what is computed, and what a changed pixel changes."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as op
from openvino import opset16

from models.cli import main
from models.contract import read_contract
from models.contract.openvino_core import openvino_core
from models.export.external_io import IOSpec
from models.export.portable.reach import receptive_field_radius
from tests.models.export.portable.test_doubling import conv, enlarged, weights
from tests.models.export.portable.test_onnx import blobs
from tests.service.serving import class_map_of, serving

SPEC = IOSpec("NCHW", 3, None, None, 4, 4, 1, "logits", "NCHW", 5, ())


def network(kind: str) -> openvino.Model:
    """Down by four and up again, with a skip."""
    image = op.parameter([-1, 3, -1, -1], np.float32, name="image")
    skip = op.relu(conv(image, weights(4, 3)))
    low = op.relu(conv(skip, weights(6, 4), 2))
    low = op.max_pool(low, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
    low = conv(low, weights(6, 6, 5), 1, 2)
    if kind == "mean":
        mean = op.reduce_mean(low, op.constant(np.array([2, 3])), True)
        low = op.add(low, mean)
    if kind == "transposed":
        up = op.convolution_backprop_data(low, weights(6, 6, 4), [4, 4])
    elif kind == "align":
        sizes = op.gather(
            op.shape_of(image, "i64"), op.constant(np.array([2, 3])), op.constant(np.int64(0))
        )
        up = op.interpolate(
            low, sizes, "linear", "sizes", [0] * 4, [0] * 4, "align_corners",
            axes=op.constant(np.array([2, 3])),
        )  # fmt: skip
    else:
        up = enlarged(low, skip, 4.0, kind if kind in ("linear", "nearest") else "nearest")
    logits = opset16.identity(conv(op.concat([up, skip], 1), weights(5, 10)))  # an ONNX Identity
    return openvino.Model([logits], [image], kind)


def farthest(model: openvino.Model) -> int:
    """How far from a changed pixel an output changes, over the pixels of a period of strides."""
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    image = np.random.default_rng(1).normal(size=(1, 3, 96, 96)).astype(np.float32)
    before = compiled([image])[0].copy()
    reach = 0
    for row, column in ((48, 48), (49, 47), (50, 45), (51, 46)):
        changed = image.copy()
        changed[..., row, column] += 100
        rows, columns = np.nonzero(np.abs(compiled([changed])[0] - before).max(axis=(0, 1)) > 1e-3)
        reach = max(reach, int(np.abs(rows - row).max()), int(np.abs(columns - column).max()))
    return reach


@pytest.mark.parametrize("kind", ["nearest", "linear", "transposed"])
def test_no_pixel_beyond_the_radius_changes_anything(kind: str) -> None:
    model = network(kind)
    radius = receptive_field_radius(model, SPEC)
    assert radius is not None
    found = farthest(model)
    assert found <= radius <= found + 12


@pytest.mark.parametrize("kind", ["mean", "align"])
def test_what_sees_the_whole_picture_has_none(kind: str) -> None:
    assert receptive_field_radius(network(kind), SPEC) is None


def test_tiles_of_a_network_whose_reach_is_known_give_what_the_whole_picture_does(
    tmp_path: Path,
) -> None:
    file = tmp_path / "theirs.xml"
    model = network("linear")
    model.inputs[0].get_tensor().set_names({"image"})
    model.outputs[0].get_tensor().set_names({"mask"})
    openvino.save_model(model, file, compress_to_fp16=False)
    command = ["adopt", str(file), "--name", "theirs", "--classes", "a,b,c,d,e", "--yes"]
    command += ["--scaling", "-1..1", "--multiple", "4", "--store", str(tmp_path / "store")]
    assert main(command) == 0
    contract = read_contract(tmp_path / "store" / "theirs" / "1")
    assert contract.receptive_field_radius == receptive_field_radius(model, SPEC)
    image = blobs(400, 330)

    def served(tile: int) -> tuple[Any, str]:
        with serving(tmp_path / "store", tile_side_pixels=tile) as server:
            response = server.segment(image)
            return class_map_of(response), response.headers.get("X-Tiles-Blended", "false")

    whole, in_tiles = served(1024), served(256)
    np.testing.assert_array_equal(in_tiles[0], whole[0])
    assert in_tiles[1] == "false"
    assert len(np.unique(whole[0])) > 1
