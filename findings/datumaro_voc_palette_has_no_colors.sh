#!/bin/bash
# Datumaro exports a data set of three labels in PASCAL VOC's layout: masks in colour, and labelmap.txt ("label:color_rgb:parts:actions").
# Which colours does that file give to the labels?
#
# What one would expect: those that the masks have, since nothing else in the folder says what a colour means; CVAT's file does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datumaro==1.13.12
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np
from datumaro.components.annotation import Mask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
from PIL import Image as Picture

folder = Path(sys.argv[1])
region = np.zeros((8, 8), bool)
region[2:5, 2:6] = True
item = DatasetItem("a", media=Image.from_numpy(np.zeros((8, 8, 3), np.uint8)), annotations=[Mask(region, label=1)])
Dataset.from_iterable([item], categories=["background", "dent", "rust"]).export(str(folder / "voc"), "voc_segmentation", save_media=True)
listed = (folder / "voc" / "labelmap.txt").read_text().split()[1:]
with Picture.open(folder / "voc" / "SegmentationClass" / "a.png") as mask:
    mode, colors = mask.mode, np.unique(np.asarray(mask.convert("RGB")).reshape(-1, 3), axis=0).tolist()
print(f"Datumaro {version('datumaro')}: the mask is {mode} and holds {colors}")
print(f"  labelmap.txt: {listed[-3:]}")
print("The colours are those of VOC's colour map at each label's number, which no file says.")
sys.exit((mode, colors, listed[-3:]) != ("RGB", [[0, 0, 0], [128, 0, 0]], ["background:::", "dent:::", "rust:::"]))
PY
