#!/usr/bin/env bash
# Two pictures of 100×100 pixels, scored by torchmetrics: MeanIoU(per_class=True) of its module for segmentation, and MulticlassJaccardIndex(average="none").
# Both are the intersection over the union of each class. Are they the same numbers?
#
# What one would expect: yes. The field's mean IoU is of one confusion matrix over the whole split, as PASCAL VOC's and Cityscapes' are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 torch==2.13.0 torchmetrics==1.9.0
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import torch
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.segmentation import MeanIoU

print(f"torchmetrics {version('torchmetrics')}, torch {torch.__version__}")
masks = torch.zeros(2, 100, 100, dtype=torch.long)
masks[0, 10:90, 10:90] = 1  # a large object, of which half is found
masks[1, 40:50, 40:50] = 1  # a small one, found whole
answers = masks.clone()
answers[0, 50:, :] = 0
of_segmentation = MeanIoU(num_classes=2, per_class=True, input_format="index")
of_classification = MulticlassJaccardIndex(num_classes=2, average="none")
for metric in (of_segmentation, of_classification):
    for answer, mask in zip(answers, masks, strict=True):
        metric.update(answer[None], mask[None])
found = {type(metric).__name__: [round(float(iou), 4) for iou in metric.compute()] for metric in (of_segmentation, of_classification)}
inside, outside = (answers == 1) & (masks == 1), (answers == 1) | (masks == 1)
whole = round(int(inside.sum()) / int(outside.sum()), 4)
each = round(float((inside.sum((1, 2)) / outside.sum((1, 2))).mean()), 4)
print(f"  IoU of the object, all pixels of both pictures counted: {whole}; its mean over the pictures: {each}")
for name, ious in found.items():
    print(f"  {name}: background {ious[0]}, object {ious[1]}")
print("MeanIoU takes the IoU of every picture and then the mean over the pictures, so that a small object counts as much as a large one.")
sys.exit((found["MeanIoU"][1], found["MulticlassJaccardIndex"][1]) != (each, whole) or each == whole)
PY
