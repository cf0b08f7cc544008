#!/bin/bash
# An 8-bit gray TIFF says that white is zero (PhotometricInterpretation 0), as scanners write. Does it matter whether its
# PlanarConfiguration, which says how several samples of a pixel lie, is 1 or 2?
#
# What one would expect: no; there is one sample a pixel, so both mean the same, and Pillow turns the values round either way.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0 numpy==2.4.6 rasterio==1.4.4
"$folder/venv/bin/python" - <<'PY'
import io
import struct
import sys
import warnings

import numpy as np
import PIL
import rasterio
from PIL import Image

warnings.simplefilter("ignore")  # rasterio's, that the picture lies nowhere on Earth
PIXELS = bytes([0, 64, 255])


def gray(planar):
    """A TIFF of 3 × 1 pixels, by hand."""
    tags = {256: 3, 257: 1, 258: 8, 259: 1, 262: 0, 273: 8, 277: 1, 278: 1, 279: 3, 284: planar}
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHI", b"II", 42, 12) + PIXELS + b"\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


print(f"Pillow {PIL.__version__}, rasterio {rasterio.__version__}; stored {list(PIXELS)}, white is zero")
found = {}
for planar in (1, 2):
    shown = np.asarray(Image.open(io.BytesIO(gray(planar))).convert("L"))[0].tolist()
    with rasterio.MemoryFile(gray(planar)) as file, file.open() as dataset:
        is_inverse = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE")
    found[planar] = shown
    print(f"  PlanarConfiguration {planar}: Pillow shows {shown}; GDAL says MINISWHITE={is_inverse} and leaves the values")
print("With 2 Pillow reads the plane as it is, and the picture is its own negative.")
sys.exit(found != {1: [255, 191, 0], 2: [0, 64, 255]})
PY
