#!/bin/bash
# A TIFF in YCbCr may keep one pair of chroma samples for 2 × 2 pixels (YCbCrSubSampling 2, 2: TIFF 6.0, section 21). Is it read right
# without compression, as it is with?
#
# What one would expect: yes, or it is refused; the tag is in every reader's list, and the strip is half as long as whole pixels would be.
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
SIDE = 8
luma = np.random.default_rng(0).integers(60, 200, (SIDE, SIDE))
chroma = np.array([90, 170])  # one color all over
packed = b"".join(
    bytes([*luma[row : row + 2, column : column + 2].ravel().tolist(), *chroma.tolist()])
    for row in range(0, SIDE, 2)
    for column in range(0, SIDE, 2)
)


def ycbcr():
    """A TIFF of one uncompressed strip, by hand."""
    short, long = 3, 4
    tags = [(256, short, [SIDE]), (257, short, [SIDE]), (258, short, [8, 8, 8]), (259, short, [1]), (262, short, [6])]
    tags += [(273, long, [8]), (277, short, [3]), (278, short, [SIDE]), (279, long, [len(packed)]), (530, short, [2, 2])]
    at = 8 + len(packed)
    far = at + 2 + 12 * len(tags) + 4
    entries, behind = b"", b""
    for tag, kind, values in tags:
        data = struct.pack(f"<{len(values)}{'H' if kind == short else 'I'}", *values)
        if len(data) > 4:
            place, behind = struct.pack("<I", far + len(behind)), behind + data
        else:
            place = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, len(values)) + place
    return struct.pack("<2sHI", b"II", 42, at) + packed + struct.pack("<H", len(tags)) + entries + bytes(4) + behind


full = np.dstack([luma, np.full_like(luma, chroma[0]), np.full_like(luma, chroma[1])]).astype(np.uint8)
expected = np.asarray(Image.fromarray(full, "YCbCr").convert("RGB")).astype(int)
with rasterio.MemoryFile(ycbcr()) as file, file.open() as dataset:
    by_gdal = int(np.abs(np.moveaxis(dataset.read()[:3], 0, -1) - expected).max())
try:
    shown = np.asarray(Image.open(io.BytesIO(ycbcr())).convert("RGB")).astype(int)
    by_pillow = int(np.abs(shown - expected).max())
except OSError as error:
    by_pillow = str(error)
print(f"Pillow {PIL.__version__}, rasterio {rasterio.__version__}; largest difference from the picture, of 255")
print(f"  GDAL {by_gdal}, Pillow {by_pillow}")
print("Pillow takes the packed blocks for whole pixels, and does not miss the half of the strip that is not there.")
sys.exit(by_gdal > 1 or not isinstance(by_pillow, int) or by_pillow < 50)
PY
