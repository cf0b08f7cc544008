"""Maps in the readers of those who make them: rio-cogeo's validation, GeoPandas over pyogrio, which
is another GDAL than the one that wrote them, and Shapely's rules of what a polygon is."""

import os
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from rasterio.transform import Affine
from rio_cogeo.cogeo import cog_validate

FOLDER = Path(sys.argv[2])
ROOT = Path(__file__).parents[3]
UTM = "EPSG:32633"


def scene(path):
    """Gray noise in patches, a quarter of it void."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(1, 256, (3, 90, 110), np.uint8).repeat(16, 1).repeat(16, 2)
    pixels[:, :720, :880] = 0
    place = Affine(0.05, 0, 389_000, 0, -0.05, 5_820_000)
    options = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": UTM, "transform": place}
    height, width = pixels.shape[1:]
    with rasterio.open(path, "w", height=height, width=width, nodata=0, **options) as dataset:
        dataset.write(pixels)
    return path


def predict(source, *flags):
    command = [os.environ["SEGSERVE_PYTHON"], "-m", "service.cli", "predict", source, *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(list(map(str, command)), env=environment, check=True, stdout=subprocess.DEVNULL)


def main():
    source = scene(FOLDER / "scene.tif")
    target, package = FOLDER / "gis.tif", FOLDER / "gis.gpkg"
    predict(source, "-m", "street", "-o", target, "--polygons", package)
    predict(source, "-m", "street", "-o", FOLDER / "again.tif", "--polygons", "geojson")
    valid, errors, warnings = cog_validate(target, strict=True)
    assert valid, (errors, warnings)
    with rasterio.open(source) as given, rasterio.open(target) as written:
        assert written.crs == given.crs
        assert written.transform == given.transform
        ids, void = written.read(1), written.nodata
        assert (ids[:720, :880] == void).all()
    regions = geopandas.read_file(package, layer="regions")
    assert regions.crs == UTM
    assert regions.geometry.is_valid.all()
    assert (regions.geom_type == "Polygon").all()
    square = 0.05**2
    np.testing.assert_allclose(regions.geometry.area, regions.pixels * square, rtol=1e-6)
    np.testing.assert_allclose(regions.area_m2, regions.geometry.area, rtol=2e-3)
    assert regions.pixels.sum() == (ids != void).sum()
    for class_id, part in regions.groupby("class_id"):
        assert part.pixels.sum() == (ids == class_id).sum()
    classes = geopandas.read_file(package, layer="classes")
    assert classes.pixels.sum() == regions.pixels.sum()
    np.testing.assert_allclose(classes.area_m2.sum(), regions.area_m2.sum(), rtol=1e-6)
    lonlat = geopandas.read_file(FOLDER / "again.geojson")
    assert lonlat.crs == "EPSG:4326"
    assert lonlat.geometry.is_valid.all()
    assert len(lonlat) == len(regions)
    back = lonlat.to_crs(UTM).total_bounds
    np.testing.assert_allclose(back, regions.total_bounds, atol=0.02)
    print(f"gis: {len(regions)} regions of {len(classes)} classes agree with the map, a valid COG")


main()
