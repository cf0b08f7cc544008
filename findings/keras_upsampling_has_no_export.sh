#!/usr/bin/env bash
# A decoder's stage of a U-Net that takes pictures of any size: keras.Input((None, None, 3)) and UpSampling2D(2, interpolation="bilinear"). Which
# of model.predict, model.save and model.export to a SavedModel and to ONNX work?
#
# What one would expect: all. The layer is Keras' own, predict compiles it for such sizes, and with interpolation="nearest" all of them work.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 numpy==2.4.6 onnx==1.23.2 tensorflow-cpu==2.21.0 tf2onnx==1.17.0
export KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3
"$folder/venv/bin/python" - "$folder" <<'PY' 2> /dev/null
import sys
from pathlib import Path

import keras
import numpy as np

folder = Path(sys.argv[1])
print(f"  keras {keras.__version__}")


def tried(work):
    try:
        work()
    except Exception as error:
        return type(error).__name__
    return "works"


found = {}
for interpolation, side in (("nearest", None), ("bilinear", 32), ("bilinear", None)):
    picture = keras.Input((side, side, 3))
    model = keras.Model(picture, keras.layers.UpSampling2D(2, interpolation=interpolation)(picture))
    place = folder / f"{interpolation}-{side}"
    results = {
        "predict": tried(lambda: model.predict(np.zeros((1, 32, 32, 3)), verbose=0)),
        "save": tried(lambda: model.save(f"{place}.keras")),
        "SavedModel": tried(lambda: model.export(str(place), verbose=False)),
        "ONNX": tried(lambda: model.export(f"{place}.onnx", format="onnx", verbose=False)),
    }
    found[interpolation, side] = list(results.values())
    size = "any size" if side is None else f"{side}×{side}"
    print(f"  {interpolation}, {size}: " + ", ".join(f"{name} {result}" for name, result in results.items()))

fine = ["works"] * 4
broken = found["bilinear", None]
is_as_found = found["nearest", None] == found["bilinear", 32] == fine and broken[:2] == fine[:2] and "works" not in broken[2:]
sys.exit(not is_as_found)
PY
