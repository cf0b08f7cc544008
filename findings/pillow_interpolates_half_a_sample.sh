#!/usr/bin/env bash
# A picture of 16 bits, as microscopes and depth cameras write them, is a ramp from 1000 to 3000. It is opened from a TIFF of each byte order, turned by ten
# degrees (to train on turned pictures, say) and made half as large by Pillow, bilinearly. Are its values still between 1000 and 3000?
#
# What one would expect: yes, or ValueError, as Pillow raises for filters and reduce() of 16 bits, which it has not; its resize does take such pictures.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 pillow==13.0.0 tifffile==2026.3.3
cat > "$folder/turn.py" <<'PY'
import sys
from pathlib import Path

import numpy as np
import PIL
import tifffile
from PIL import Image

ramp = np.tile(np.linspace(1000, 3000, 64).astype(np.uint16), (64, 1))
middle = np.s_[20:44, 20:44]  # what a turn leaves inside the picture


def of_the_ramp(picture, window):
    values = np.asarray(picture).astype(float)[window]
    return bool(values.min() >= 1000 and values.max() <= 3000)


print(f"  Pillow {PIL.__version__}")
found = {}
for name, order in (("little-endian", "<"), ("big-endian", ">")):
    path = Path(sys.argv[1]) / f"{name}.tif"
    tifffile.imwrite(path, ramp, byteorder=order, photometric="minisblack")
    picture = Image.open(path)
    assert np.array_equal(np.asarray(picture), ramp)  # as it was written
    bilinear, nearest = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
    results = {
        "turned, nearest": (picture.rotate(10, nearest), middle),
        "turned, bilinear": (picture.rotate(10, bilinear), middle),
        "half as large, bilinear": (picture.resize((32, 32), bilinear), np.s_[:]),
    }
    for what, (result, window) in results.items():
        values = np.asarray(result)[window]
        found[name, what] = of_the_ramp(result, window)
        row = np.asarray(result)[window][len(values) // 2, 4:9]
        print(f"  {name} ({picture.mode}), {what}: {row}, {'of the ramp' if found[name, what] else 'NOT of the ramp'}")
print("Turning interpolates the two bytes of a sample as if they were two pixels, in either byte order, and so does resize with the larger byte first.")
right = {("little-endian", "half as large, bilinear"), *((name, "turned, nearest") for name in ("little-endian", "big-endian"))}
sys.exit({key for key, is_right in found.items() if is_right} != right)
PY
"$folder/venv/bin/python" "$folder/turn.py" "$folder"
