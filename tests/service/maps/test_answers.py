"""`geotiff`, `geojson` and `gpkg` from POST /segment: what a map of the same raster has."""

import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from tests.docs.test_formats import python_decoder
from tests.service.maps.rasters import PLACE, UTM, Mapper, class_map_of, patches, save_raster
from tests.service.protocols.test_problems import assert_problem
from tests.service.serving import ServerThread, png_bytes, serving

MEDIA_TYPES = {"geojson": "application/geo+json", "gpkg": "application/geopackage+sqlite3"}


@pytest.fixture(scope="module")
def server(map_store: Path) -> Iterator[ServerThread]:
    with serving(map_store, default_model="conv", tile_side_pixels=128) as running:
        yield running


def ask(server: ServerThread, path: Path, format_name: str, **options: Any) -> httpx.Response:
    answer = server.client.post(
        "/segment", params={"format": format_name, **options}, content=path.read_bytes()
    )
    assert answer.status_code == 200, answer.text
    return answer


def rows_of(package: bytes | Path, query: str) -> list[Any]:
    file = sqlite3.connect(package if isinstance(package, Path) else ":memory:")
    if isinstance(package, bytes):
        file.deserialize(package)
    rows = file.execute(query).fetchall()
    file.close()
    return rows


def deep(pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return pixels.astype(np.uint16) * 16


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "nodata": {"nodata": 0},
    "deep": {"nodata": 0, "nbits": 12},
    "scaled": {"nodata": 0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_what_a_map_of_the_raster_is(
    server: ServerThread, conv: Mapper, tmp_path: Path, kind: str
) -> None:
    pixels: NDArray[Any] = patches(640, 700, side=50).clip(1)
    options: dict[str, Any] = {"scale": "0.4"} if kind == "scaled" else {}
    if kind == "deep":
        pixels = deep(pixels)
    if "nodata" in KINDS[kind]:
        pixels[:200, :400] = 0
    source = save_raster(tmp_path / "scene.tif", pixels, **KINDS[kind])
    targets = {name: tmp_path / f"map.{name}" for name in ("geotiff", "geojson", "gpkg")}
    summary = conv(source, targets, side=128, **options)
    answer = ask(server, source, "geotiff", **options)
    with (
        rasterio.open(io.BytesIO(answer.content)) as ours,
        rasterio.open(targets["geotiff"]) as theirs,
    ):
        same = ours.read(1) == theirs.read(1)
        assert ours.profile == theirs.profile
        assert ours.overviews(1) == theirs.overviews(1) == [2]
        assert ours.colormap(1) == theirs.colormap(1)
        for tags in ({}, {"ns": "IMAGE_STRUCTURE"}):
            assert ours.tags(**tags) == theirs.tags(**tags)
    assert same.mean() == 1 if kind != "scaled" else same.mean() > 0.999
    assert answer.headers["X-Scale"] == ("0.4" if kind == "scaled" else "1")
    assert int(answer.headers["X-Tiles"]) > 1
    if kind == "deep":
        assert answer.headers["X-Intensity"] == "0,4095"
        assert summary.window is not None
    if kind == "scaled":  # a pixel of another class is a region of its own
        return
    regions = ask(server, source, "geojson", min_area=3, **options)
    assert regions.headers["Content-Type"] == MEDIA_TYPES["geojson"]
    conv(source, targets, side=128, min_area=3, **options)
    assert json.loads(regions.content) == json.loads(targets["geojson"].read_bytes())
    package = ask(server, source, "gpkg", min_area=3, **options)
    assert package.headers["Content-Type"] == MEDIA_TYPES["gpkg"]
    assert package.content[68:72] == b"GPKG"
    read = python_decoder("regions_of")(package.content)
    assert read == rows_of(targets["gpkg"], "SELECT class, pixels, area_m2 FROM regions")
    for table in ("regions", "classes", "gpkg_geometry_columns", "gpkg_spatial_ref_sys"):
        query = f"SELECT * FROM {table}"
        assert rows_of(package.content, query) == rows_of(targets["gpkg"], query)


def test_accept_asks_for_a_map_too(server: ServerThread, tmp_path: Path) -> None:
    source = save_raster(tmp_path / "scene.tif", patches(80, 90))
    for accept, found in (
        ("image/tiff", "image/tiff; application=geotiff; profile=cloud-optimized"),
        ("image/tiff; application=geotiff", "image/tiff; application=geotiff"),
        ("application/geopackage+sqlite3", MEDIA_TYPES["gpkg"]),
        ("image/*", "image/png"),
    ):
        headers = {"Accept": accept}
        answer = server.client.post("/segment", content=source.read_bytes(), headers=headers)
        assert answer.headers["Content-Type"].startswith(found)


@pytest.mark.parametrize("format_name", ["geojson", "gpkg"])
def test_what_lies_nowhere_has_no_regions_of_the_ground(
    server: ServerThread, tmp_path: Path, format_name: str
) -> None:
    """Its `polygons` are in pixels, and say so."""
    source = save_raster(tmp_path / "plain.tif", patches(80, 90), crs=None, transform=None)
    url = f"/segment?format={format_name}"
    refused = server.client.post(url, content=source.read_bytes())
    assert "`polygons`, which are in pixels" in assert_problem(refused, "invalid-option")
    polygons = json.loads(ask(server, source, "polygons").content)
    assert polygons["coordinate_system"].startswith("pixels, not WGS84")
    with rasterio.open(io.BytesIO(ask(server, source, "geotiff").content)) as dataset:
        assert dataset.crs is None
        assert dataset.shape == (80, 90)


def test_what_is_no_raster_is_told_so(server: ServerThread, tmp_path: Path) -> None:
    url = "/segment?format=geotiff"
    refused = server.client.post(url, content=png_bytes(patches(20, 30)))
    assert "no TIFF" in (said := assert_problem(refused, "unsupported-image-type"))
    assert "ask for `png` or `polygons`" in said
    five = save_raster(tmp_path / "five.tif", patches(30, 40).repeat(2, axis=-1)[..., :5])
    refused = server.client.post(url, content=five.read_bytes())
    assert "bands=4,3,2" in assert_problem(refused, "invalid-option")
    assert server.client.post(f"{url}&bands=5,3,1", content=five.read_bytes()).status_code == 200
    assert "page=2" in assert_problem(
        server.client.post(f"{url}&page=2", content=five.read_bytes()), "invalid-option"
    )
    cut = server.client.post(f"{url}&bands=1", content=five.read_bytes()[:-3000])
    assert "truncated" in assert_problem(cut, "unreadable-image")


def test_classes_and_confidence_leave_voids_void(
    server: ServerThread, solvable: Mapper, tmp_path: Path
) -> None:
    pixels, valid = patches(90, 80), np.ones((90, 80), np.bool_)
    valid[:40] = False
    source = save_raster(tmp_path / "scene.tif", pixels, valid=valid)
    target = tmp_path / "classes.tif"
    solvable(source, {"geotiff": target}, classes="red")
    answer = ask(server, source, "geotiff", model="solvable", classes="red")
    with rasterio.open(io.BytesIO(answer.content)) as dataset:
        np.testing.assert_array_equal(dataset.read(1), class_map_of(target))
    answer = ask(server, source, "geotiff", model="solvable", min_confidence="0.5")
    with rasterio.open(io.BytesIO(answer.content)) as dataset:
        ids = dataset.read(1)
        assert (dataset.crs.to_string(), dataset.transform) == (UTM, PLACE)
    sums = pixels.sum(axis=-1, dtype=np.float64)
    assert (ids[:40] == 255).all()
    np.testing.assert_array_equal((ids != 255)[40:], (pixels.max(axis=-1) >= 0.5 * sums)[40:])
