#!/usr/bin/env bash
# A network's features are doubled by the linear Resize of opset 10, or by the Upsample of opset 9, as networks exported some years ago do it.
# onnx.version_converter makes the file one of opset 13, for an engine that reads nothing older. Does it compute the same as before?
#
# What one would expect: yes. The converter is ONNX' own and adds what a newer operator has to be told, as the axes of Softmax of opset 13.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cat > "$folder/convert.py" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter

RAMP = np.tile(np.arange(8, dtype=np.float32), (1, 1, 8, 1))  # each column has its number


def doubling(operator, opset, mode):
    node = helper.make_node(operator, ["features", "scales"], ["doubled"], mode=mode)
    ends = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, RAMP.shape),
        helper.make_tensor_value_info("doubled", TensorProto.FLOAT, [1, 1, 16, 16]),
    ]
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    graph = helper.make_graph([node], "double", ends[:1], ends[1:], [scales])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def answer(model):
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"features": RAMP})[0]


print(f"  onnx {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}")
as_found = True
for operator, opset in (("Upsample", 9), ("Resize", 10)):
    for mode in ("nearest", "linear"):
        old = doubling(operator, opset, mode)
        new = version_converter.convert_version(old, 13)
        before, after = answer(old)[0, 0, 4], answer(new)[0, 0, 4]
        resize = next(node for node in new.graph.node if node.op_type == "Resize")
        said = [attribute.name for attribute in resize.attribute]
        print(f"  {operator} of opset {opset}, {mode}: before {before[2:7]}, after {after[2:7]}, attributes {said}")
        same = bool(np.array_equal(before, after))
        as_found &= same == (mode == "nearest")
        if mode == "linear":  # in the middle of the ramp: a quarter of a column, which is half a pixel of the doubled picture
            as_found &= bool(np.allclose(before[4:12] - after[4:12], 0.25))
print("The converter leaves the coordinates to the default of the newer Resize, half_pixel, where the older one's were asymmetric: what is")
print("interpolated comes to lie half a pixel further right and down at every doubling, and no message says so.")
sys.exit(not as_found)
PY
"$folder/venv/bin/python" "$folder/convert.py"
