"""Maps in GDAL's own tools, which are another GDAL than the one that wrote them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.service.maps.rasters import Mapper, patches, save_raster

pytestmark = pytest.mark.skipif(
    shutil.which("gdalinfo") is None or shutil.which("ogrinfo") is None,
    reason="no GDAL tools on this machine; on Debian: apt-get install gdal-bin",
)


def said_by(*command: object) -> str:
    done = subprocess.run(
        list(map(str, command)), check=True, capture_output=True, text=True, timeout=300
    )
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.fixture
def written(solvable: Mapper, tmp_path: Path) -> dict[str, Path]:
    pixels = patches(700, 900, side=50).clip(1)
    pixels[:300, :200] = 0
    source = save_raster(tmp_path / "scene.tif", pixels, nodata=0, block=256)
    targets = {
        "geotiff": tmp_path / "classes.tif",
        "gpkg": tmp_path / "regions.gpkg",
        "geojson": tmp_path / "regions.geojson",
    }
    solvable(source, targets)
    return {"source": source, **targets}


def test_gdalinfo_says_where_the_map_lies_and_what_its_classes_are(
    written: dict[str, Path],
) -> None:
    found: dict[str, Any] = json.loads(said_by("gdalinfo", "-json", written["geotiff"]))
    source: dict[str, Any] = json.loads(said_by("gdalinfo", "-json", written["source"]))
    for fact in ("size", "geoTransform", "cornerCoordinates"):
        assert found[fact] == source[fact]
    assert found["coordinateSystem"]["wkt"] == source["coordinateSystem"]["wkt"]
    assert found["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    (band,) = found["bands"]
    assert band["noDataValue"] == 255
    assert band["colorInterpretation"] == "Palette"
    assert [overview["size"] for overview in band["overviews"]] == [[450, 350]]
    text = said_by("gdalinfo", written["geotiff"])
    for name in ("red", "green", "blue"):
        assert name in text.split("Categories:")[1]


def test_gdal_translate_reads_every_pixel(written: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.tif"
    said_by("gdal_translate", "-q", written["geotiff"], copy)
    with rasterio.open(copy) as one, rasterio.open(written["geotiff"]) as other:
        np.testing.assert_array_equal(one.read(), other.read())


def test_ogrinfo_reads_the_regions_with_crs_and_extent(written: dict[str, Path]) -> None:
    text = said_by("ogrinfo", "-so", "-al", written["gpkg"])
    assert "Layer name: regions" in text
    assert "Geometry: Polygon" in text
    assert 'ID["EPSG",32633]' in text
    assert "Extent: (389000.250000, 5818650.750000) - (389450.250000, 5819000.750000)" in text
    for field in ("class_id: Integer", "class: String", "area_m2: Real"):
        assert field in text
    query = "SELECT SUM(pixels) AS n FROM regions"
    with rasterio.open(written["geotiff"]) as dataset:
        valid = int((dataset.read(1) != 255).sum())
    assert f"n (Integer) = {valid}" in said_by("ogrinfo", "-q", "-sql", query, written["gpkg"])
    text = said_by("ogrinfo", "-so", "-al", written["geojson"])
    assert 'ID["EPSG",4326]' in text
    assert "Geometry: Polygon" in text
