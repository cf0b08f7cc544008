#!/bin/bash
# A gray TIFF of 96×64 pixels, white in its upper left corner, with the EXIF orientation 6: a quarter turn. Where is the white?
#
# What one would expect: Pillow turns a TIFF when it loads it, so in the upper right corner of 64×96 pixels, whether the file
# is opened by its path or from memory, and in gray as in colour.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import io
import sys
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

pixels = np.zeros((64, 96), np.uint8)
pixels[:16, :24] = 255
upright = np.rot90(pixels, -1)
exif = Image.Exif()
exif[0x0112] = 6
print(f"Pillow {PIL.__version__}")
found = {}
for mode in ("L", "RGB"):
    path = Path(sys.argv[1]) / f"{mode}.tif"
    Image.fromarray(pixels).convert(mode).save(path, exif=exif)
    for how, source in (("its path", path), ("memory", io.BytesIO(path.read_bytes()))):
        with Image.open(source) as image:
            opened = image.size
            image.load()
            gray = np.asarray(image.convert("L"))
            found[mode, how] = gray.shape == upright.shape and bool((gray == upright).all())
            print(f"  {mode} opened by {how}: size {opened}, loaded {image.size}, upright: {found[mode, how]}")
print("An uncompressed gray TIFF is mapped from its path with its sides changed already, and then turned once more.")
wrong = [key for key, is_right in found.items() if not is_right]
sys.exit(wrong != [("L", "its path")])
PY
