#!/usr/bin/env bash
# A Keras model whose decoder enlarges by UpSampling2D(interpolation="bicubic") is computed on two backends of Keras, TensorFlow and PyTorch. Do the
# features agree?
#
# What one would expect: to about 1e-6, as bilinear and nearest do; the layer has no weights, and its documentation tells of no difference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 keras==3.15.1 tensorflow-cpu==2.21.0 torch==2.13.0
cat > "$folder/enlarge.py" <<'PY'
import sys

import keras
import numpy as np

features = np.zeros((1, 8, 8, 1), np.float32)
features[:, 2:6, 2:6] = 1
enlarged = {
    method: keras.ops.convert_to_numpy(keras.layers.UpSampling2D(2, interpolation=method)(features))
    for method in ("nearest", "bilinear", "bicubic")
}
np.savez(sys.argv[1], **enlarged)
print(f"  Keras {keras.__version__} on {keras.backend.backend()}: bicubic at an edge {enlarged['bicubic'][0, 8, 1:7, 0].round(4)}")
PY
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=
for backend in tensorflow torch; do
    KERAS_BACKEND=$backend "$folder/venv/bin/python" "$folder/enlarge.py" "$folder/$backend.npz" 2> "$folder/log" || { cat "$folder/log"; exit 2; }
done
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import numpy as np

of_tensorflow, of_torch = (np.load(Path(sys.argv[1]) / f"{name}.npz") for name in ("tensorflow", "torch"))
differences = {name: float(np.abs(of_tensorflow[name] - of_torch[name]).max()) for name in of_torch.files}
for name, difference in differences.items():
    print(f"  {name}: differs by at most {difference:.2g} of a step of 1")
print("Bicubic is Keys' cubic with a = -0.5 on TensorFlow and with a = -0.75 on PyTorch.")
sys.exit(not (differences["nearest"] < 1e-6 and differences["bilinear"] < 1e-5 and differences["bicubic"] > 0.03))
PY
