#!/bin/bash
# A mask of the ids 0, 1, 2 and 255 (void) gets a palette of its three classes' colours and is saved. Which ids are in the file?
#
# What one would expect: all four. putpalette() says how indices look, not which there may be; an index without a colour is
# black, as it is in memory, or save() refuses it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

folder = Path(sys.argv[1])
ids = np.array([[0, 1, 2, 255]], np.uint8)
found = {}
for suffix in ("png", "gif", "bmp", "tif"):
    mask = Image.fromarray(ids)
    mask.putpalette([0, 0, 0, 230, 60, 50, 30, 140, 230])
    mask.save(folder / f"mask.{suffix}")
    with Image.open(folder / f"mask.{suffix}") as saved:
        found[suffix] = np.asarray(saved)[0].tolist()
print(f"Pillow {PIL.__version__}; saved {ids[0].tolist()} with a palette of 3 colours")
for suffix, values in found.items():
    print(f"  read back from {suffix}: {values}")
print("PNG keeps as many bits as three colours need (2) and cuts 255 to 3; GIF numbers the indices in use anew.")
expected = {"png": [0, 1, 2, 3], "gif": [0, 1, 2, 3], "bmp": [0, 1, 2, 255], "tif": [0, 1, 2, 255]}
sys.exit(found != expected)
PY
