#!/usr/bin/env bash
# A picture has three cells, each an instance of its own: one with a hole, one in two parts, one whole. supervision's DetectionDataset writes them as
# COCO (as_coco), and pycocotools' COCOeval scores a network against the file that found the whole one and missed the others. What is its recall?
#
# What one would expect: a third. How a mask is stored, as a polygon or as run lengths where a polygon cannot hold it, is a matter of the file; what
# iscrowd = 1 says in COCO is that a region stands for a group of objects which nobody told apart, and scores leave such regions out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 opencv-python-headless==5.0.0.93 pycocotools==2.0.11 supervision==0.31.2
cat > "$folder/score.py" <<'PY'
import contextlib
import io
import json
import sys
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import supervision
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

folder = Path(sys.argv[1])
row, column = np.mgrid[:200, :200]
ring = abs(np.hypot(row - 60, column - 60) - 27) < 13
parts = ((abs(row - 130) < 10) | (abs(row - 160) < 10)) & (abs(column - 40) < 20)
disc = np.hypot(row - 140, column - 140) < 30
cells = {"with a hole": ring, "in two parts": parts, "whole": disc}


def recall(document):
    (folder / "scored.json").write_text(json.dumps(document))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "scored.json"))
        code = run_lengths.encode(np.asfortranarray(disc.astype(np.uint8)))
        code["counts"] = code["counts"].decode()
        picture, category = document["images"][0]["id"], document["categories"][0]["id"]
        answer = {"image_id": picture, "category_id": category, "score": 0.9, "segmentation": code}
        evaluation = COCOeval(truth, truth.loadRes([answer]), "segm")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
        evaluation.accumulate()
    return float(evaluation.eval["recall"][0, 0, 0, -1])  # of all sizes, 100 answers a picture


print(f"  supervision {version('supervision')}, pycocotools {version('pycocotools')}")
cv2.imwrite(str(folder / "picture.png"), np.full((200, 200, 3), 128, np.uint8))
masks = np.stack(list(cells.values()))
boxes = supervision.mask_to_xyxy(masks).astype(float)
found = supervision.Detections(xyxy=boxes, mask=masks, class_id=np.zeros(3, int))
picture = str(folder / "picture.png")
supervision.DetectionDataset(["cell"], [picture], {picture: found}).as_coco(annotations_path=str(folder / "cells.json"))
document = json.loads((folder / "cells.json").read_text())
for name, annotation in zip(cells, document["annotations"], strict=True):
    stored = "run lengths" if isinstance(annotation["segmentation"], dict) else "a polygon"
    print(f"  the cell {name}: {stored}, iscrowd {annotation['iscrowd']}")
crowds = [annotation["iscrowd"] for annotation in document["annotations"]]
as_written = recall(document)
for annotation in document["annotations"]:
    annotation["iscrowd"] = 0
as_single = recall(document)
print(f"  recall of one cell of three: {as_written:.2f} by the file, {as_single:.2f} with iscrowd 0")
print("An instance that no polygon holds is written as a crowd, so whoever misses it loses nothing, and who finds it gains nothing.")
sys.exit((crowds, round(as_written, 2), round(as_single, 2)) != ([1, 1, 0], 1.0, 0.33))
PY
"$folder/venv/bin/python" "$folder/score.py" "$folder"
