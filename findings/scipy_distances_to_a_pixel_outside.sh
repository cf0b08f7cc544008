#!/usr/bin/env bash
# A tile of a mask lies inside a large object: every pixel is of it. scipy.ndimage.distance_transform_edt, by which weight maps of touching cells, signed
# distances and the filling of void are made, is asked how far each pixel is from the background, of which the tile has none. What does it say?
#
# What one would expect: infinity, or a number that no tile is wide, or an error. Its brute-force sibling says 1e154, the chamfer one -1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PY'
import sys

import numpy as np
import scipy
from scipy.ndimage import distance_transform_bf, distance_transform_cdt, distance_transform_edt

print(f"  scipy {scipy.__version__}, numpy {np.__version__}")
tile = np.ones((3, 5), bool)
distances, nearest = distance_transform_edt(tile, return_indices=True)
print(f"  brute force {distance_transform_bf(tile).min():.0e}, chamfer {distance_transform_cdt(tile).max()}, Euclidean:")
for row in distances.round(2):
    print(f"    {row}")
rows, columns = np.indices(tile.shape)
to_outside = np.hypot(rows + 1, columns)
picture = np.arange(15).reshape(3, 5)
filled = picture[tuple(nearest)]
print(f"  the nearest pixel of background: row {np.unique(nearest[0])}, column {np.unique(nearest[1])}; what a picture is filled with from there: {np.unique(filled)}")
print("They are the distances to one pixel above the upper left corner, outside the tile: small, smooth and plausible. Its row, -1, is the last one to NumPy.")
sys.exit(not (np.allclose(distances, to_outside) and np.all(nearest[0] == -1) and np.all(filled == picture[-1, 0])))
PY
