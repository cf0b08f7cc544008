"""An artefact's ONNX file, converted from its SavedModel by tf2onnx, and what runs it."""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures.loading import load_saved_model
from models.contract import OPENVINO_OUTPUTS, SegmentationClass
from models.export.openvino import frozen_graph
from models.training.evaluation import Images, Predictor

_OPSET = 18
_SIDES = {"images": ("N", "H", "W", None), "class_map": ("N", "H", "W")}


def write_onnx(
    artefact: Path, path: Path, name: str, classes: Sequence[SegmentationClass], card: str
) -> None:
    """Write `path`: uint8 `images` (N, H, W, C) of any size to `class_map` uint8 (N, H, W) and
    `probabilities` float32 (N, H, W, classes). Name, classes and model card are its metadata."""
    import onnx
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    loaded = load_saved_model(artefact)
    graph = frozen_graph(loaded.signatures)  # variables live as long as what was loaded
    outputs = _outputs(graph)
    with warnings.catch_warnings(), _quiet_tensorflow():
        warnings.simplefilter("ignore")
        model, _ = tf2onnx.convert.from_graph_def(
            graph,
            name=name,
            input_names=["images:0"],
            output_names=outputs,
            opset=_OPSET,
            custom_op_handlers={"FloorDiv": (_floor_div, []), "FloorMod": (_floor_mod, [])},
        )
    renamed = {"images:0": "images", **dict(zip(outputs, OPENVINO_OUTPUTS, strict=True))}
    _rename(model.graph, renamed)
    _name_sides(model.graph)
    model.producer_name, model.producer_version = "segtrain", ""
    labels = json.dumps([c.model_dump() for c in classes], ensure_ascii=False)
    onnx.helper.set_model_props(model, {"name": name, "classes": labels, "model_card": card})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def onnx_predictor(path: Path) -> Predictor:
    """Predict by an exported ONNX file in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def answer(name: str, images: Images) -> NDArray[np.generic]:
        return np.asarray(session.run([name], {"images": images})[0])

    return Predictor(
        lambda images: answer("class_map", images),  # type: ignore[arg-type, return-value]
        lambda images: answer("probabilities", images),  # type: ignore[arg-type, return-value]
    )


class _quiet_tensorflow:  # noqa: N801
    """TensorFlow warns of functions of its own that tf2onnx calls."""

    def __enter__(self) -> None:
        self._level = tf.get_logger().level
        tf.get_logger().setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        tf.get_logger().setLevel(self._level)


def _outputs(graph: Any) -> list[str]:
    """The tensors of `OPENVINO_OUTPUTS`: what nothing in the frozen graph takes."""
    taken = {source.split(":")[0].lstrip("^") for node in graph.node for source in node.input}
    ends = [node.name for node in graph.node if node.name not in taken and node.op == "Identity"]
    return [f"{name}:0" for name in sorted(ends, key=lambda name: (len(name), name))]


def _floor_div(context: Any, node: Any, _name: str, _args: Any) -> None:
    """tf2onnx 1.17 rounds the quotient of negative integers toward zero."""
    left, right = node.input
    if not _are_integers(context, left):
        node.type = "Div"
        context.insert_new_node_on_output("Floor", node.output[0], name=f"{node.name}_floor")
        return
    rest = context.make_node("Mod", [left, right]).output[0]
    whole = context.make_node("Sub", [left, rest]).output[0]
    node.type = "Div"
    context.replace_inputs(node, [whole, right])


def _floor_mod(context: Any, node: Any, _name: str, _args: Any) -> None:
    """As `_floor_div`; ONNX's Mod of integers has the divisor's sign."""
    if _are_integers(context, node.input[0]):
        node.type = "Mod"
        return
    left, right = node.input
    quotient = context.make_node("Div", [left, right]).output[0]
    floor = context.make_node("Floor", [quotient]).output[0]
    whole = context.make_node("Mul", [floor, right]).output[0]
    node.type = "Sub"
    context.replace_inputs(node, [left, whole])


def _are_integers(context: Any, name: str) -> bool:
    from onnx import TensorProto

    return context.get_dtype(name) in (TensorProto.INT32, TensorProto.INT64)


def _rename(graph: Any, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for place, name in enumerate(node.output):
            node.output[place] = names.get(name, name)


def _name_sides(graph: Any) -> None:
    sides = {**_SIDES, "probabilities": _SIDES["images"]}
    for value in (*graph.input, *graph.output):
        for side, name in zip(value.type.tensor_type.shape.dim, sides[value.name], strict=True):
            if name is not None:
                side.dim_param = name
