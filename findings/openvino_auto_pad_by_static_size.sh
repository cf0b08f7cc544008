#!/usr/bin/env bash
# The decoder of an ONNX file doubles its features by ConvTranspose with auto_pad = SAME_UPPER, which the specification gives an output of twice the
# size. OpenVINO reads the file once with a size of 8 × 10 in it and once with free heights and widths, as a segmentation network is exported that takes
# pictures of any size, and computes the same 8 × 10 features. Are the answers the same?
#
# What one would expect: yes. The padding depends on kernel and stride alone, and both files say the same of them.
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

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(1, 2, 8, 10)).astype(np.float32)
CORE = openvino.Core()


def answers(kernel, auto_pad, size):
    node = helper.make_node("ConvTranspose", ["features", "weights"], ["larger"], strides=[2, 2], auto_pad=auto_pad)
    ends = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 2, *size]),
        helper.make_tensor_value_info("larger", TensorProto.FLOAT, None),
    ]
    weights = numpy_helper.from_array(np.ones((2, 2, kernel, kernel), np.float32), "weights")
    graph = helper.make_graph([node], "decoder", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    compiled = CORE.compile_model(CORE.read_model(data, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return session.run(None, {"features": FEATURES})[0], compiled([FEATURES])[0]


print(f"  onnx {onnx.__version__}, ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__}")
as_found = True
for kernel in (3, 4):
    for auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        for size in ((8, 10), ("height", "width")):
            expected, larger = answers(kernel, auto_pad, size)
            is_free = size != (8, 10)
            print(f"  {kernel}×{kernel}, {auto_pad}, {'free' if is_free else 'fixed'} size: ONNX Runtime {expected.shape[2:]}, OpenVINO {larger.shape[2:]}")
            as_found &= expected.shape[2:] == (16, 20)
            as_found &= larger.shape[2:] == ((16 + kernel - 2, 20 + kernel - 2) if is_free else (16, 20))
            as_found &= is_free or bool(np.allclose(larger, expected, atol=1e-4))
print("With a free size OpenVINO leaves the padding out, as auto_pad = VALID would.")
sys.exit(not as_found)
PY
"$folder/venv/bin/python" "$folder/compare.py"
