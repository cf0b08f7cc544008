"""A mask that lies elsewhere on the ground than its picture is none of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from models.data.examination import examine
from models.data.options import SplitOptions
from models.data.reading import scan_dataset

HERE = Affine(2, 0, 100, 0, -2, 200)  # 2 m a pixel
UTM = "EPSG:32632"


def write(path: Path, bands: int, transform: Affine | None, crs: str | None) -> None:
    shape = {"count": bands, "height": 12, "width": 16, "dtype": "uint8"}
    path.parent.mkdir(parents=True, exist_ok=True)
    # What is not said is left out: GDAL would write what it takes for nothing.
    place = {k: v for k, v in (("transform", transform), ("crs", crs)) if v is not None}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place) as file:
        values = np.random.default_rng(bands).integers(0, 2, (bands, 12, 16), np.uint8)
        file.write(values * (100 if bands == 3 else 1))


@pytest.mark.parametrize(
    ("transform", "crs", "said"),
    [
        (HERE, UTM, None),
        (Affine(2, 0, 100.9, 0, -2, 199.1), UTM, None),  # less than half a pixel
        (None, None, None),
        (HERE, None, None),
        (
            Affine(2, 0, 140, 0, -2, 200),
            UTM,
            "reaches from 20, 0 to 36, 12 in its picture's pixels",
        ),
        (Affine(1, 0, 100, 0, -1, 200), UTM, "reaches from 0, 0 to 8, 6 "),
        (Affine(2, 0, 100, 0, 2, 176), UTM, "reaches from 0, 12 to 16, 0 "),
        (HERE, "EPSG:32633", "is in EPSG:32633 and its picture in EPSG:32632"),
    ],
)
def test_a_mask_of_another_place_is_refused(
    transform: Affine | None, crs: str | None, said: str | None, tmp_path: Path
) -> None:
    write(tmp_path / "images" / "a.tif", 3, HERE, UTM)
    write(tmp_path / "masks" / "a.tif", 1, transform, crs)
    names = [{"id": n, "name": f"class {n}", "color": f"#00000{n}"} for n in range(2)]
    document = {"name": "made", "ignore": None, "classes": names}
    (tmp_path / "classes.json").write_text(json.dumps(document))
    errors = [i.text for i in examine(scan_dataset(tmp_path, SplitOptions(fraction=0))).errors]
    assert len(errors) == (said is not None)
    assert said is None or said in errors[0]
