#!/usr/bin/env bash
# A ring is painted in Label Studio, as brush labels hold it: run lengths of all pixels. Its own converter exports it as "Brush labels to COCO". Which pixels
# has the annotation?
#
# What one would expect: those that were painted. COCO has run lengths too, and the brush is what one takes where polygons do not do.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet label-studio-sdk==2.1.2 numpy==2.2.6 opencv-python-headless==4.12.0.88 pycocotools==2.0.11
"$folder/venv/bin/python" - "$folder" <<'PY'
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from label_studio_sdk.converter import brush
from label_studio_sdk.converter.exports.brush_to_coco import convert_to_coco
from pycocotools import mask as coco

print(f"label-studio-sdk {version('label-studio-sdk')}, pycocotools {version('pycocotools')}")
y, x = np.indices((100, 140))
distance = np.hypot(y - 50, x - 70)
painted = ((distance < 40) & (distance >= 25)).astype(np.uint8) * 255
result = {
    "type": "BrushLabels",
    "brushlabels": ["ring"],
    "format": "rle",
    "rle": brush.mask2rle(painted),
    "original_width": 140,
    "original_height": 100,
}
task = {"id": 1, "annotation_id": 1, "completed_by": {"email": ""}, "input": {"image": "ring.png"}, "output": {"brush": [result]}}
convert_to_coco([task], sys.argv[1])
(annotation,) = json.loads((Path(sys.argv[1]) / "result_coco.json").read_text())["annotations"]
drawn = coco.decode(coco.merge(coco.frPyObjects(annotation["segmentation"], 100, 140)))
kept = np.array_equal(brush.decode_rle(result["rle"]).reshape(100, 140, 4)[..., 3], painted)
counts = {"painted": int((painted > 0).sum()), "in COCO": int(drawn.sum()), "of the hole": int(drawn[distance < 25].sum())}
print(f"  run lengths read back are what was painted: {kept}; the annotation has {len(annotation['segmentation'])} polygon")
print(f"  pixels painted {counts['painted']}, in the COCO file {counts['in COCO']}, of which {counts['of the hole']} lie in the hole of {int((distance < 25).sum())}")
print("The converter takes the outermost contours of each stroke, so that a hole is part of the object.")
sys.exit(not (kept and counts["of the hole"] == int((distance < 25).sum())))
PY
