#!/bin/bash
# A mask goes through OpenCV's contours into COCO polygons, as many converters do, and pycocotools draws it again. What is left?
#
# What one would expect: the same pixels, but for some at slanted edges; of a square and a straight line all of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 pycocotools==2.0.11 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import cv2
import numpy as np
from pycocotools import mask as coco

print(f"OpenCV {cv2.__version__}, pycocotools {version('pycocotools')}")
found = {}
for name, rows, columns in (
    ("a square of 20×20", slice(10, 30), slice(10, 30)),
    ("a square of 5×5", slice(10, 15), slice(10, 15)),
    ("a crack of 2×30", slice(20, 22), slice(5, 35)),
):
    mask = np.zeros((40, 40), np.uint8)
    mask[rows, columns] = 1
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = [contour.reshape(-1).tolist() for contour in contours]
    drawn = coco.decode(coco.merge(coco.frPyObjects(polygons, *mask.shape)))
    again = cv2.fillPoly(np.zeros_like(mask), contours, 1)
    found[name] = int(mask.sum()), int(drawn.sum()), int(again.sum())
    print(f"  {name}: {found[name][0]} pixels; by pycocotools {found[name][1]}, by OpenCV itself {found[name][2]}")
print("OpenCV's contour runs through the centres of the outermost pixels, COCO's polygon along their edges.")
expected = {
    "a square of 20×20": (400, 361, 400),
    "a square of 5×5": (25, 16, 25),
    "a crack of 2×30": (60, 29, 60),
}
sys.exit(found != expected)
PY
