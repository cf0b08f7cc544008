#!/usr/bin/env bash
# An ONNX file of opset 11 or 12 ends in Softmax over the classes (axis = 1) of scores (N, classes, H, W). Until opset 13 the specification flattens all
# axes from the given one on, so that one sum goes over classes and pixels. OpenVINO and ONNX Runtime read the file, and one more that has LogSoftmax
# in Softmax's place. Do they agree, and is one answer the logarithm of the other?
#
# What one would expect: yes, both times; an engine that knows the rule of old files knows it for each operator the rule was made for, or for none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
cat > "$folder/compare.py" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

SCORES = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32)
CORE = openvino.Core()


def of_each_pixel(scores):
    powers = np.exp(scores)
    return powers / powers.sum(axis=1, keepdims=True)


def of_all(scores):
    powers = np.exp(scores)
    return powers / powers.sum()


def meaning(probabilities):
    for name, rule in {"a sum for each pixel": of_each_pixel, "one sum for all pixels": of_all}.items():
        if np.allclose(probabilities, rule(SCORES), atol=1e-4):
            return name
    return "neither"


def answers(operator, opset):
    node = helper.make_node(operator, ["scores"], ["answer"], axis=1)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SCORES.shape) for name in ("scores", "answer")]
    graph = helper.make_graph([node], "head", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    compiled = CORE.compile_model(CORE.read_model(data, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return session.run(None, {"scores": SCORES})[0], compiled([SCORES])[0]


print(f"  onnx {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__}")
found = {}
for opset in (9, 11, 12, 13):
    for operator in ("Softmax", "LogSoftmax"):
        for engine, answer in zip(("ONNX Runtime", "OpenVINO"), answers(operator, opset), strict=True):
            found[opset, operator, engine] = meaning(np.exp(answer) if operator == "LogSoftmax" else answer)
            print(f"  opset {opset}, {operator}, {engine}: {found[opset, operator, engine]}")
PIXEL, ALL = "a sum for each pixel", "one sum for all pixels"
as_found = all(
    found[opset, operator, engine]
    == (PIXEL if opset == 13 or (opset > 9 and (operator, engine) == ("Softmax", "OpenVINO")) else ALL)
    for opset, operator, engine in found
)
print("OpenVINO takes Softmax of opsets 11 and 12 by opset 13's rule; its LogSoftmax of these opsets, its Softmax of opset 9 and all of ONNX Runtime by the old one.")
sys.exit(not as_found)
PY
"$folder/venv/bin/python" "$folder/compare.py"
