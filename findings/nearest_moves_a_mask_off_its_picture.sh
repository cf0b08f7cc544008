#!/usr/bin/env bash
# A picture of discs and its mask are made four times smaller together: by torchvision's transforms.v2.Resize, which takes the picture bilinear and the mask
# by nearest neighbour, and by OpenCV with INTER_AREA and INTER_NEAREST. Where are the discs afterwards?
#
# What one would expect: in one place, to half a pixel. A small pixel stands for 4×4 large ones, and those nearest to its centre are the middle four.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 opencv-python-headless==5.0.0.93 pillow==13.0.0 torch==2.15.0 torchvision==0.29.2
"$folder/venv/bin/python" - <<'PY'
import sys

import cv2
import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

print(f"torchvision {torchvision.__version__}, OpenCV {cv2.__version__}, Pillow {PIL.__version__}")
SIDE, SMALL = 256, 64


def by_torchvision(picture, mask):
    resize = v2.Resize((SMALL, SMALL), antialias=True)
    small, small_mask = resize(tv_tensors.Image(picture[None]), tv_tensors.Mask(mask[None]))
    return small[0].numpy(), small_mask[0].numpy()


def by_opencv(picture, mask):
    shape = (SMALL, SMALL)
    return cv2.resize(picture, shape, interpolation=cv2.INTER_AREA), cv2.resize(mask, shape, interpolation=cv2.INTER_NEAREST)


def by_pillow(picture, mask):
    shape = (SMALL, SMALL)
    small = Image.fromarray(picture).resize(shape, Image.Resampling.BILINEAR)
    return np.asarray(small), np.asarray(Image.fromarray(mask).resize(shape, Image.Resampling.NEAREST))


def centre(image):
    """The centre of gravity, x and y, in pixels of the large picture."""
    y, x = np.indices(image.shape)
    weights = image.astype(np.float64)
    return np.array([((axis + 0.5) * weights).sum() / weights.sum() for axis in (x, y)]) * SIDE / SMALL


y, x = np.indices((SIDE, SIDE)) + 0.5
generator = np.random.default_rng(1)
shifts = {}
for resize in (by_torchvision, by_opencv, by_pillow):
    moved = []
    for place in generator.uniform(60, 196, (50, 2)):
        mask = ((x - place[0]) ** 2 + (y - place[1]) ** 2 < 40**2).astype(np.uint8)
        small, small_mask = resize(mask * np.uint8(200), mask)
        moved.append(centre(small_mask) - centre(small))
    shifts[resize.__name__] = np.mean(moved, axis=0)
    print(f"  {resize.__name__}: masks lie {shifts[resize.__name__].round(2)} pixels (x, y) off their pictures, the mean of {len(moved)} discs")
print("The first two take the first of each four pixels, 1.5 up and left of the middle, so that all in the mask lies 1.5 too far right and down.")
print("Pillow takes the third: of four there is none in the middle.")
expected = {"by_torchvision": 1.5, "by_opencv": 1.5, "by_pillow": -0.5}
sys.exit(any(abs(shift - expected[name]).max() > 0.1 for name, shift in shifts.items()))
PY
