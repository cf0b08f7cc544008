#!/usr/bin/env bash
# An ONNX file makes its picture four times smaller by Resize with antialias = 1 (opset 18, the attribute in which the smoothing of a shrunk picture
# is asked for; linear and cubic have it). Do ONNX Runtime, OpenVINO and ONNX' own reference give the same picture?
#
# What one would expect: yes, or an error where an engine cannot do it; OpenVINO does refuse Resize where it lacks the coordinates it asks for.
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
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# Stripes two pixels wide: a quarter of the size has none, an even gray.
STRIPES = np.tile(np.array([0, 1, 1, 0], np.float32), (1, 1, 32, 8))
CORE = openvino.Core()


def shrunk(method, antialias):
    node = helper.make_node("Resize", ["picture", "", "scales"], ["small"], mode=method, antialias=antialias)
    ends = [
        helper.make_tensor_value_info("picture", TensorProto.FLOAT, STRIPES.shape),
        helper.make_tensor_value_info("small", TensorProto.FLOAT, None),
    ]
    scales = numpy_helper.from_array(np.array([1, 1, 0.25, 0.25], np.float32), "scales")
    graph = helper.make_graph([node], "shrink", ends[:1], ends[1:], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    compiled = CORE.compile_model(CORE.read_model(data, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        "reference": ReferenceEvaluator(model).run(None, {"picture": STRIPES})[0],
        "ONNX Runtime": session.run(None, {"picture": STRIPES})[0],
        "OpenVINO": compiled([STRIPES])[0],
    }


print(f"  onnx {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__}")
as_found = True
for method in ("linear", "cubic"):
    smoothed, plain = shrunk(method, 1), shrunk(method, 0)
    for engine, small in smoothed.items():
        is_plain = bool(np.array_equal(small, plain[engine]))
        print(f"  {method}, {engine}: a row of the middle {small[0, 0, 4, 2:6].round(3)}" + (", as without antialias" if is_plain else ""))
        as_found &= is_plain == (engine == "OpenVINO")
    as_found &= bool(np.allclose(smoothed["reference"], smoothed["ONNX Runtime"], atol=1e-4))
print("OpenVINO reads the file without a word and leaves the smoothing out.")
sys.exit(not as_found)
PY
"$folder/venv/bin/python" "$folder/compare.py"
