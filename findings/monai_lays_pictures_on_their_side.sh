#!/usr/bin/env bash
# MONAI's LoadImage reads a PNG of 60×40 pixels (width × height), as LoadImaged does at the start of a training's transforms. Which axis comes first?
#
# What one would expect: the rows, (channels, 40, 60), as Pillow, OpenCV, scikit-image, torchvision and Keras have it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet monai==1.6.1 numpy==2.2.6 pillow==13.0.0 scikit-image==0.26.0 torch==2.13.0
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

warnings.simplefilter("ignore")
import skimage.io
from monai.transforms import LoadImage

folder = Path(sys.argv[1])
print(f"MONAI {version('monai')}, Pillow {version('pillow')}, scikit-image {version('scikit-image')}")
picture = np.zeros((40, 60, 3), np.uint8)
picture[:10, 30:] = 255  # white in the upper right
Image.fromarray(picture).save(folder / "picture.png")
by_monai = np.asarray(LoadImage(image_only=True, ensure_channel_first=True)(folder / "picture.png"))
by_skimage = skimage.io.imread(folder / "picture.png")
print(f"  scikit-image: {by_skimage.shape}, white at the right of the first row: {bool(by_skimage[0, -1, 0])}")
print(f"  MONAI: {by_monai.shape}, white at the right of its first row: {bool(by_monai[0, 0, -1])}, and in its last row: {bool(by_monai[0, -1, 0])}")
print("The picture is mirrored along its diagonal, as (x, y) of a medical volume is. Masks are too, so a training shows nothing of it;")
print("a network that leaves MONAI then sees pictures of everybody else's reader on their side.")
sys.exit(not (by_monai.shape == (3, 60, 40) and np.array_equal(by_monai, by_skimage.T) and by_skimage.shape == (40, 60, 3)))
PY
