#!/usr/bin/env bash
# The mean of each quarter of a picture, laid over that quarter: adaptive_avg_pool2d(picture, 2), brought back to the picture's size, which is one
# branch of a PSPNet (Zhao et al. 2017, section 3.2). torch.onnx.export is told that height and width are free, and sees 64×64. What does ONNX
# Runtime answer for 96×96 and 128×128, where the picture rises from 0 at its left edge to 1 at its right one?
#
# What one would expect: 0.25 and 0.75, as from PyTorch, for the window of an adaptive pool goes by the size of what comes in. Or that the export
# is refused, as that by TorchScript (dynamo=False) is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2 torch==2.15.0
"$folder/venv/bin/python" - <<'PY' 2> /dev/null | grep -v -e '^  %' -e '^  return' -e '[Gg]raph ' -e '^graph(' -e '^$'
import io
import sys

import numpy as np
import onnxruntime
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate


class Quarters(torch.nn.Module):
    def forward(self, picture):
        return interpolate(adaptive_avg_pool2d(picture, 2), size=picture.shape[-2:], mode="nearest")


free = torch.export.Dim.DYNAMIC
program = torch.onnx.export(
    Quarters(), (torch.rand(1, 1, 64, 64),), dynamic_shapes=({2: free, 3: free},), verbose=False
)
model = program.model_proto
shape = [side.dim_param or side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim]
(pool,) = (node for node in model.graph.node if node.op_type == "AveragePool")
window = next(list(a.ints) for a in pool.attribute if a.name == "kernel_shape")
print(f"  torch {torch.__version__}, onnxruntime {onnxruntime.__version__}; the file takes {shape} and pools windows of {window}")

session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
columns = {}
for side in (64, 96, 128):
    picture = np.broadcast_to((np.arange(side, dtype=np.float32) + 0.5) / side, (1, 1, side, side)).copy()
    found = session.run(None, {session.get_inputs()[0].name: picture})[0]
    wanted = Quarters()(torch.from_numpy(picture)).numpy()
    columns[side] = [sorted({round(float(value), 2) for value in answer[0, 0, 0]}) for answer in (found, wanted)]
    print(f"  {side}×{side}: the means from left to right are {columns[side][0]}, and PyTorch's {columns[side][1]}")

try:
    torch.onnx.export(
        Quarters(), (torch.rand(1, 1, 64, 64),), io.BytesIO(), dynamo=False,
        input_names=["x"], dynamic_axes={"x": {2: "h", 3: "w"}},
    )
    older = "exports it"
except Exception as error:
    older = f"raises {type(error).__name__}"
print(f"  by TorchScript: {older}")
is_as_found = columns[64][0] == columns[64][1] == columns[128][1] == [0.25, 0.75] and columns[128][0] == [0.12, 0.38, 0.62, 0.88]
sys.exit(not (is_as_found and older.startswith("raises")))
PY
