#!/bin/bash
# GDAL's open option OVERVIEW_LEVEL=NONE keeps a decimated read from overviews that are of another picture, as a slide's macro photograph.
# Has a TIFF without a georeference the same transform with it as without?
#
# What one would expect: yes, the identity, by which code tells a picture that lies nowhere; the option is about overviews alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 rasterio==1.4.4
cd "$folder"
venv/bin/python - <<'PY'
import sys
import warnings

import numpy as np
import rasterio

warnings.simplefilter("ignore")  # rasterio's, that the picture lies nowhere on Earth
gray = np.zeros((1, 40, 56), np.uint8)
with rasterio.open("plain.tif", "w", driver="GTiff", count=1, height=40, width=56, dtype="uint8") as file:
    file.write(gray)
with rasterio.open("plain.tif") as dataset:
    plain = tuple(dataset.transform)[:6]
    is_identity = dataset.transform.is_identity
found = []
for _ in range(20):
    with rasterio.open("plain.tif", OVERVIEW_LEVEL="NONE") as dataset:
        found.append(tuple(dataset.transform)[:6])
others = [transform for transform in found if transform != plain]
print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}; a TIFF of 56 × 40 pixels that lies nowhere")
print(f"  as it is               {plain}, identity: {is_identity}")
print(f"  OVERVIEW_LEVEL=NONE    {len(others)} of {len(found)} times another, such as {others[-1] if others else None}")
print("With the option nobody fills the numbers in, and what asks for the identity takes the picture for georeferenced.")
sys.exit(not is_identity or not others)
PY
