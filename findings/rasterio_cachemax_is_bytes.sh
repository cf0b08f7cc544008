#!/bin/bash
# GDAL takes GDAL_CACHEMAX below 100,000 for megabytes: in the environment, and behind --config of its tools. Does rasterio.Env(GDAL_CACHEMAX=64)
# give the block cache 64 MB too?
#
# What one would expect: yes. It is the same option, programs that read large rasters set it like that, and Env is there to set GDAL's options.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 rasterio==1.4.4
cd "$folder"
cat > show.py <<'PY'
import json
import sys
import time
import warnings

import numpy as np
import rasterio
from rasterio._env import get_gdal_config
from rasterio.windows import Window

warnings.simplefilter("ignore")  # rasterio's, that the picture lies nowhere on Earth
SIDE = 1024
texture = np.random.default_rng(1).integers(0, 8, (1, SIDE, SIDE), np.uint8)
tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
with rasterio.open("a.tif", "w", driver="GTiff", count=1, height=SIDE, width=SIDE, dtype="uint8", **tiles) as file:
    file.write(texture)
with rasterio.Env(**json.loads(sys.argv[1])), rasterio.open("a.tif") as dataset:
    dataset.read(1)
    began = time.process_time()
    for row in range(SIDE):
        dataset.read(1, window=Window(0, row, SIDE, 1))
    print(get_gdal_config("GDAL_CACHEMAX"), f"{time.process_time() - began:.3f}")
PY
versions=$(venv/bin/python -c "import rasterio; print(f'rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}')")
read -r outside outside_seconds < <(GDAL_CACHEMAX=64 venv/bin/python show.py '{}')
read -r inside inside_seconds < <(venv/bin/python show.py '{"GDAL_CACHEMAX": 64}')
echo "$versions; a tiled, deflated picture of 1024 × 1024, read once and then a row of pixels at a time"
echo "  GDAL_CACHEMAX=64 in the environment   a cache of $outside bytes, $outside_seconds s of CPU"
echo "  rasterio.Env(GDAL_CACHEMAX=64)        a cache of $inside bytes, $inside_seconds s of CPU"
echo "Env takes the number for bytes, however small: the cache holds next to nothing, and blocks are decoded again for each row of pixels."
[ "$outside" = 67108864 ] && [ "$inside" = 64 ]
