"""Regions, their areas, and the files that they are written to."""

import json
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform as warp

from models.contract import SegmentationClass
from service.domain.errors import InvalidOptionError
from service.domain.ground import LON_LAT, reproject, to_ground
from service.domain.source import SourceInfo, Window
from service.inputs.raster import open_raster
from service.outputs.choice import UnknownOutputError, output_named
from service.outputs.geo.areas import class_areas
from service.outputs.geo.cog import halved, side_file
from service.outputs.geo.contours import trace
from service.outputs.geo.geojson import refuse_without_crs, write_geojson
from service.outputs.geo.geopackage import write_geopackage
from service.outputs.geo.mosaic import Legend
from service.outputs.geo.regions import find_regions
from service.outputs.geo.rings import Regions
from service.outputs.geo.shapes import Shapes, shapes_of
from tests.solvable import contract_with

CONTRACT = contract_with(name="rgb", ignore=255)
ALL = frozenset({0, 1, 2})


def wkt(code: str) -> str:
    text: str = CRS.from_user_input(code).to_wkt()
    return text


def strips_of(class_map: NDArray[np.uint8], rows: int) -> list[NDArray[np.uint8]]:
    return [class_map[top : top + rows] for top in range(0, len(class_map), rows)]


def polygons(batches: Iterable[Regions]) -> list[tuple[int, shapely.Polygon]]:
    """The class and the outline of each region."""
    found = []
    for regions in batches:
        for number, class_id in enumerate(regions.class_ids.tolist()):
            exterior, *holes = regions.rings_of(number)
            found.append((class_id, shapely.Polygon(exterior, holes)))
    return found


def drawn(regions: list[tuple[int, shapely.Polygon]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    geometries = [(outline, class_id) for class_id, outline in regions]
    if not geometries:
        return np.full(shape, 255, np.uint8)
    image: NDArray[np.uint8] = rasterio.features.rasterize(
        geometries, out_shape=shape, fill=255, dtype="uint8"
    )
    return image


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 9), classes=st.integers(2, 4))
def test_regions_of_strips_are_those_of_the_whole(seed: int, rows: int, classes: int) -> None:
    draw = np.random.default_rng(seed)
    class_map = draw.integers(0, classes, (23, 19), np.uint8)
    class_map[class_map == 3] = 255
    if seed % 2:
        class_map = class_map.repeat(2, axis=0)[:23]
    whole = polygons(find_regions([class_map], ALL))
    cut = polygons(find_regions(strips_of(class_map, rows), ALL))
    assert len(cut) == len(whole)
    np.testing.assert_array_equal(drawn(cut, class_map.shape), class_map)

    def facts(regions: list[tuple[int, shapely.Polygon]]) -> list[tuple[int, float, float]]:
        return sorted((class_id, outline.area, outline.length) for class_id, outline in regions)

    assert facts(cut) == facts(whole)


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 5), side=st.integers(1, 3))
def test_outlines_are_those_that_gdal_finds(seed: int, classes: int, side: int) -> None:
    draw = np.random.default_rng(seed)
    height, width = draw.integers(1, 25, 2)
    class_map = draw.integers(0, classes, (height, width), np.uint8)
    class_map = class_map.repeat(side, axis=0).repeat(side, axis=1)
    kept = ALL if seed % 2 else frozenset({1})
    ours = polygons([trace(class_map, kept)])
    mask = np.isin(class_map, list(kept))
    theirs = [
        (int(class_id), shapely.geometry.shape(geometry))
        for geometry, class_id in rasterio.features.shapes(class_map, mask=mask, connectivity=4)
    ]
    assert all(outline.is_valid for _, outline in ours)

    def written(regions: list[tuple[int, Any]]) -> list[tuple[int, str]]:
        return sorted((class_id, outline.normalize().wkt) for class_id, outline in regions)

    assert written(ours) == written(theirs)


def test_a_snake_through_all_strips_is_one_region() -> None:
    class_map = np.zeros((60, 41), np.uint8)
    class_map[::2] = 1
    class_map[1::4, -1] = 1
    class_map[3::4, 0] = 1
    regions = polygons(find_regions(strips_of(class_map, 7), frozenset({1})))
    assert len(regions) == 1
    assert regions[0][1].area == (class_map == 1).sum()
    np.testing.assert_array_equal(drawn(regions, class_map.shape), np.where(class_map == 1, 1, 255))


def square(side: float, crs: str, longitude: float, latitude: float) -> tuple[SourceInfo, float]:
    """A raster of 100 × 100 pixels, of `side` units of its grid, whose middle lies there; and its
    area on the ellipsoid by an azimuthal equal-area projection of its own."""
    (x,), (y,) = warp("EPSG:4326", crs, [longitude], [latitude])
    step = side / 100
    place = (step, 0.0, x - side / 2, 0.0, -step, y + side / 2)
    own = f"+proj=laea +lat_0={latitude} +lon_0={longitude} +ellps=WGS84"
    edge = np.linspace(-side / 2, side / 2, 50)
    xs = np.concatenate((x + edge, np.full(50, x + side / 2), x - edge, np.full(50, x - side / 2)))
    ys = np.concatenate((np.full(50, y - side / 2), y + edge, np.full(50, y + side / 2), y - edge))
    east, north = warp(crs, own, xs, ys)
    truth = shapely.Polygon(np.stack((east, north), axis=-1)).area
    return SourceInfo(transform=place, reference=wkt(crs)), truth


@pytest.mark.parametrize(
    ("crs", "side"),
    [("EPSG:32618", 100.0), ("EPSG:2263", 328.0), ("EPSG:3857", 132.0), ("EPSG:4326", 0.001)],
)
def test_areas_are_those_of_the_ground_in_any_grid(crs: str, side: float) -> None:
    info, truth = square(side, crs, -73.97, 40.78)
    class_map = np.zeros((100, 100), np.uint8)
    class_map[:, 40:] = 1
    (shape,) = shapes_of(find_regions([class_map], frozenset({1})), info, 0, 0)
    assert shape.area_m2 == pytest.approx([0.6 * truth], rel=1e-4)
    areas = class_areas(reader(class_map), class_map.shape, info, CONTRACT)
    assert [area.pixels for area in areas] == [4000, 6000, 0]
    assert areas[0].area_m2 == pytest.approx(0.4 * truth, rel=1e-4)
    assert areas[0].area_m2 + areas[1].area_m2 == pytest.approx(truth, rel=1e-4)  # type: ignore[operator]


def test_a_hundred_meters_in_new_york_are_10_006_square_meters() -> None:
    """A7 of the facts: Web Mercator's own numbers say 17,453."""
    info, _ = square(100.0, "EPSG:32618", -73.97, 40.78)
    areas = class_areas(reader(np.zeros((100, 100), np.uint8)), (100, 100), info, CONTRACT)
    assert areas[0].area_m2 == pytest.approx(10_006, rel=1e-3)


def reader(class_map: NDArray[np.uint8]):  # type: ignore[no-untyped-def]
    def read(window: Window) -> NDArray[np.uint8]:
        top, left, height, width = window
        return class_map[top : top + height, left : left + width]

    return read


def one_shape(class_map: NDArray[np.uint8], info: SourceInfo, **how: float) -> Shapes:
    regions = find_regions([class_map], ALL - {0})
    (shapes,) = shapes_of(regions, info, how.get("min_area", 0), how.get("tolerance", 0))
    return shapes


def test_small_regions_go_and_small_holes_are_filled_by_square_meters() -> None:
    info, truth = square(1000.0, "EPSG:3857", 10.0, 60.0)
    meters = truth / 10_000  # of a pixel: a quarter of its grid's
    class_map = np.zeros((100, 100), np.uint8)
    class_map[10:40, 10:40] = 1
    class_map[20:22, 20:22] = 0
    class_map[70:73, 70:73] = 2
    kept = one_shape(class_map, info, min_area=5 * meters)
    assert kept.regions.class_ids.tolist() == [1, 2]
    assert kept.pixels.tolist() == [900, 9]
    assert one_shape(class_map, info, min_area=9.5 * meters).pixels.tolist() == [900]
    assert one_shape(class_map, info).pixels.tolist() == [896, 9]
    assert one_shape(class_map, SourceInfo(), min_area=9.5).area_m2 is None


def document(shapes: list[Shapes], info: SourceInfo) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(b"".join(write_geojson(shapes, info, CONTRACT, {})))
    return parsed


def test_geojson_is_longitude_and_latitude_by_the_right_hand_rule() -> None:
    info, _ = square(100.0, "EPSG:32633", 13.4, 52.5)
    class_map = np.zeros((100, 100), np.uint8)
    class_map[10:40, 20:90] = 1
    class_map[20:22, 30:32] = 0
    (feature,) = document([one_shape(class_map, info)], info)["features"]
    assert "crs" not in document([], info)
    exterior, hole = feature["geometry"]["coordinates"]
    assert shapely.is_ccw(shapely.linearrings(exterior))
    assert not shapely.is_ccw(shapely.linearrings(hole))
    a, _, c, _, e, f = info.transform  # type: ignore[misc]
    (longitude,), (latitude,) = warp("EPSG:32633", "EPSG:4326", [c + 20 * a], [f + 10 * e])
    nearest = min(exterior, key=lambda p: abs(p[0] - longitude) + abs(p[1] - latitude))
    assert nearest == pytest.approx([longitude, latitude], abs=6e-8)
    assert feature["properties"]["area_m2"] == pytest.approx(2100 - 4, rel=1e-3)
    assert feature["properties"]["class"] == "green"


def test_geojson_is_cut_at_the_antimeridian() -> None:
    place = (0.01, 0.0, 179.5, 0.0, -0.01, -16.0)
    info = SourceInfo(transform=place, reference=wkt("EPSG:4326"))
    class_map = np.ones((100, 100), np.uint8)
    shape = one_shape(class_map, info)
    (feature,) = document([shape], info)["features"]
    geometry: Any = shapely.geometry.shape(feature["geometry"])
    assert geometry.geom_type == "MultiPolygon"
    assert geometry.is_valid
    west, east = sorted(geometry.geoms, key=lambda part: part.bounds[0])
    assert west.bounds == pytest.approx((-180, -17, -179.5, -16))
    assert east.bounds == pytest.approx((179.5, -17, 180, -16))
    assert shape.area_m2 == pytest.approx([1.182e10], rel=1e-3)


@pytest.mark.parametrize("degrees", [0.5, 1.0, 5.0])
@pytest.mark.parametrize("west", [-180.0, 0.0])
def test_a_region_may_reach_around_the_earth(degrees: float, west: float) -> None:
    height, width = round(180 / degrees), round(360 / degrees)
    info = SourceInfo(
        transform=(degrees, 0.0, west, 0.0, -degrees, 90.0), reference=wkt("EPSG:4326")
    )
    class_map = np.ones((height, width), np.uint8)
    hole = np.s_[height // 4 : height // 2, width // 8 : width // 4]
    class_map[hole] = 2
    shapes = list(shapes_of(find_regions([class_map], ALL - {0}), info, 0, 0))
    of_earth = 5.10065622e14  # the ellipsoid's, in m²
    regions = [area for batch in shapes for area in np.asarray(batch.area_m2).tolist()]
    assert len(regions) == 2
    assert sum(regions) == pytest.approx(of_earth, rel=1e-6)
    areas = class_areas(reader(class_map), (height, width), info, CONTRACT)
    assert sum(one.area_m2 or 0 for one in areas) == pytest.approx(of_earth, rel=1e-6)
    for feature in document(shapes, info)["features"]:
        geometry: Any = shapely.geometry.shape(feature["geometry"])
        inside = class_map == feature["properties"]["class_id"]
        assert geometry.is_valid
        assert geometry.area == pytest.approx(inside.sum() * degrees**2)
        rows, columns = hole
        place = shapely.Point(
            (west + (columns.start + 0.5) * degrees + 180) % 360 - 180,
            90 - (rows.start + 0.5) * degrees,
        )
        assert geometry.contains(place) == (feature["properties"]["class_id"] == 2)


@pytest.mark.parametrize("degrees", [0.02, 0.5])
def test_classes_of_coarse_pixels_have_the_areas_of_their_latitudes(degrees: float) -> None:
    """A pixel at 60° N covers half of what one at the equator does."""
    width = round(4 / degrees)
    info = SourceInfo(transform=(degrees, 0, 10, 0, -degrees, 76), reference=wkt("EPSG:4326"))
    class_map = np.zeros((round(48 / degrees), width), np.uint8)
    class_map[: round(11 / degrees)] = 1
    class_map[round(11 / degrees) :, width // 2 :] = 2
    areas = class_areas(reader(class_map), class_map.shape, info, CONTRACT)
    a, e2 = 6378137.0, 0.0066943799901413165

    def above_equator(latitude: float) -> float:  # of a whole turn, on the ellipsoid
        e, sine = e2**0.5, np.sin(np.radians(latitude))
        return float(
            np.pi * a**2 * (1 - e2) * (sine / (1 - e2 * sine**2) + np.arctanh(e * sine) / e)
        )

    north = (above_equator(76) - above_equator(65)) * 4 / 360
    half = (above_equator(65) - above_equator(28)) * 2 / 360
    assert [one.area_m2 for one in areas] == pytest.approx([half, north, half], rel=1e-4)


@pytest.mark.parametrize(
    ("crs", "laea", "pixel"),
    [("EPSG:3031", "EPSG:6932", 500.0), ("EPSG:3413", "EPSG:6931", 25_000.0)],
)
def test_a_region_around_a_pole_has_its_area_and_its_outline(
    crs: str, laea: str, pixel: float
) -> None:
    across, down = np.meshgrid(np.arange(200) - 79.5, np.arange(200) - 99.5)
    class_map = np.zeros((200, 200), np.uint8)
    class_map[across**2 + down**2 < 60**2] = 1  # around the pole
    class_map[across**2 + down**2 < 30**2] = 2
    class_map[90:110, 120:130] = 2  # within what is around it
    info = SourceInfo(transform=(pixel, 0, -80 * pixel, 0, -pixel, 100 * pixel), reference=wkt(crs))

    def truth(ids: set[int]) -> float:
        rows, columns = np.nonzero(np.isin(class_map, list(ids)))
        at_x, at_y = columns[:, np.newaxis], rows[:, np.newaxis]
        xs, ys = (np.array(side) for side in ((0, 1, 1, 0), (0, 0, 1, 1)))
        x, y = warp(
            crs,
            laea,
            (pixel * (at_x + xs - 80)).reshape(-1),
            (pixel * (100 - at_y - ys)).reshape(-1),
        )
        corners = np.stack((x, y), axis=-1).reshape(-1, 4, 2)
        return float(shapely.area(shapely.polygons(corners)).sum())

    areas = class_areas(reader(class_map), class_map.shape, info, CONTRACT)
    expected = [truth({0}), truth({1}), truth({2})]
    assert [one.area_m2 for one in areas] == pytest.approx(expected, rel=1e-4)
    shapes = one_shape(class_map, info)
    assert shapes.area_m2 is not None
    for class_id in (1, 2):
        own = shapes.area_m2[shapes.regions.class_ids == class_id]
        assert own.sum() == pytest.approx(expected[class_id], rel=1e-3)
    features = document([shapes], info)["features"]
    assert_places(features, class_map, info)


def test_a_long_edge_lies_where_the_raster_s_edge_does() -> None:
    """A line that is straight in UTM is bent in degrees: 10 km of it by 3 m, or 30 pixels."""
    info = SourceInfo(
        transform=(0.1, 0.0, 600_000.0, 0.0, -0.1, 6_700_000.0), reference=wkt("EPSG:32633")
    )
    regions = Regions(
        class_ids=np.array([1]),
        first_ring=np.array([0, 1]),
        first_corner=np.array([0, 5]),
        corners=np.array([(0, 0), (0, 90), (100_000, 90), (100_000, 0), (0, 0)], np.int32),
    )
    shapes = [Shapes(regions, np.array([9_000_000]), None)]
    (feature,) = document(shapes, info)["features"]
    outline = shapely.geometry.shape(feature["geometry"])
    assert shapely.get_num_coordinates(outline) < 100
    for row, inside in ((1, True), (89, True), (-1, False), (91, False)):
        (x,), (y,) = warp("EPSG:32633", "EPSG:4326", [605_000.0], [6_700_000 - 0.1 * row])
        assert outline.contains(shapely.Point(x, y)) == inside


def test_all_of_a_raster_around_a_pole_has_outlines() -> None:
    """Mending a ring that is followed around the pole leaves lines, which are no part of it."""
    info = SourceInfo(transform=(1e3, 0, -2e5, 0, -1e3, 1.5e5), reference=wkt("EPSG:3031"))
    class_map = np.ones((300, 400), np.uint8)
    across, down = np.meshgrid(np.arange(400) - 280, np.arange(300) - 200)
    class_map[across**2 + down**2 < 50**2] = 2
    class_map[50:150, 60:160] = 2
    class_map[180:230, 100:160] = 2
    class_map[195:215, 120:140] = 1
    shapes = list(shapes_of(find_regions([class_map], ALL - {0}), info, 0, 0))
    assert_places(document(shapes, info)["features"], class_map, info)


def assert_places(features: list[Any], class_map: NDArray[np.uint8], info: SourceInfo) -> None:
    """A place near the middle of each pixel, which no cut goes through, lies in a feature of its
    class and in no other."""
    outlines = {
        class_id: shapely.union_all(
            [
                shapely.geometry.shape(one["geometry"])
                for one in features
                if one["properties"]["class_id"] == class_id
            ]
        )
        for class_id in (1, 2)
    }
    rows, columns = np.indices(class_map.shape).reshape(2, -1) + np.array([[0.4], [0.55]])
    assert info.transform is not None
    assert info.reference is not None
    points = reproject(to_ground(info.transform, columns, rows), info.reference, LON_LAT)
    for class_id, outline in outlines.items():
        assert outline.is_valid
        inside = shapely.contains_xy(outline, points[:, 0], points[:, 1])
        np.testing.assert_array_equal(inside.reshape(class_map.shape), class_map == class_id)


LOCAL = 'LOCAL_CS["site",UNIT["metre",1]]'


@pytest.mark.parametrize(
    ("crs", "pixel", "place", "lies"),
    [
        ("EPSG:4326", 1.0, (-0.5, 90.5), True),  # the first row's middle is the pole
        ("EPSG:4326", 0.5, (400_000.0, 5_000_000.0), False),  # meters
        ("EPSG:32633", 0.5, (400_000.0, 5_000_000.0), True),
        ("EPSG:32633", 1e6, (400_000.0, 5_000_000.0), False),
        ("EPSG:4978", 0.5, (400_000.0, 5_000_000.0), False),  # geocentric
        (LOCAL, 0.5, (0.0, 100.0), False),
    ],
)
def test_a_raster_that_is_not_on_the_earth_has_no_areas(
    crs: str, pixel: float, place: tuple[float, float], lies: bool, tmp_path: Path
) -> None:
    path = tmp_path / "raster.tif"
    transform = rasterio.Affine(pixel, 0, place[0], 0, -pixel, place[1])
    about = {"height": 181, "width": 360, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **about) as file:
        file.write(np.ones((181, 360), np.uint8), 1)
    with open_raster(path) as raster:
        info = raster.info
    assert info.is_on_earth == lies
    assert info.reference is not None
    class_map = np.ones((181, 360), np.uint8)
    areas = class_areas(reader(class_map), class_map.shape, info, CONTRACT)
    shapes = one_shape(class_map, info)
    assert (areas[1].area_m2 is not None) == (shapes.area_m2 is not None) == lies
    if lies:
        refuse_without_crs(info)
        assert json.dumps(document([shapes], info), allow_nan=False)
    else:
        with pytest.raises(InvalidOptionError, match="not all of the picture has by its CRS"):
            refuse_without_crs(info)


def test_geojson_without_a_place_on_the_ground_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="polygons"):
        refuse_without_crs(SourceInfo())


def test_a_geopackage_says_where_it_lies_and_holds_each_region(tmp_path: Path) -> None:
    info, truth = square(100.0, "EPSG:32633", 13.4, 52.5)
    class_map = np.zeros((100, 100), np.uint8)
    class_map[10:40, 20:90] = 1
    shapes = [one_shape(class_map, info)]
    areas = class_areas(reader(class_map), (100, 100), info, CONTRACT)
    path = tmp_path / "regions.gpkg"
    write_geopackage(path, shapes, info, CONTRACT, areas, (100, 100))
    assert path.read_bytes()[68:72] == b"GPKG"
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []
        row = file.execute("SELECT geom, class_id, class, pixels, area_m2 FROM regions").fetchone()
        classes = file.execute("SELECT class, pixels, area_m2 FROM classes").fetchall()
        srs = file.execute("SELECT srs_id FROM gpkg_geometry_columns").fetchone()
    file.close()
    assert srs == (32633,)
    assert row[1:4] == (1, "green", 2100)
    assert row[4] == pytest.approx(0.21 * truth, rel=1e-4)
    assert classes[1][1] == 2100
    geometry = shapely.from_wkb(row[0][8 + 32 :])
    a, _, c, _, e, f = info.transform  # type: ignore[misc]
    assert geometry.bounds == pytest.approx((c + 20 * a, f + 40 * e, c + 90 * a, f + 10 * e))


def test_names_stand_at_their_ids_whatever_lies_between() -> None:
    """A11 of the facts: the ignore id is a category of its own, gaps before it are empty ones."""
    contract = CONTRACT.model_copy(update={"ignore": 5})
    text = side_file(Legend.of(contract, "rgb/1"))
    names = re.findall("<Category>(.*?)</Category>", text)
    assert names == ["red", "green", "blue", "", "", "no data"]


def test_overviews_show_the_most_frequent_class_and_no_void_beside_one() -> None:
    values = np.array([[1, 2, 0, 0, 255], [2, 1, 3, 0, 255], [2, 2, 255, 255, 4]], np.uint8)
    np.testing.assert_array_equal(halved(values, 255), [[1, 0, 255], [2, 255, 4]])
    np.testing.assert_array_equal(halved(np.array([[255, 255], [255, 7]], np.uint8), 255), [[7]])
    np.testing.assert_array_equal(halved(np.array([[5, 6], [7, 6]], np.uint8), None), [[6]])
    four = np.stack(np.meshgrid(*[np.arange(4, dtype=np.uint8)] * 4), -1).reshape(-1, 2, 2)
    modes = [max(each, key=each.count) for each in four.reshape(-1, 4).tolist()]
    np.testing.assert_array_equal(halved(np.hstack(list(four)), None), [modes])


def test_an_overview_of_many_rows_is_that_of_each_four_pixels() -> None:
    values = np.random.default_rng(0).integers(0, 5, (1201, 1000), np.uint8)
    four = [np.pad(values, ((0, 1), (0, 0)), "edge")[r::2, c::2] for r in (0, 1) for c in (0, 1)]
    votes = [sum(np.where(one == other, 1, 0) * (one != 4) for other in four) for one in four]
    expected = np.choose(np.argmax(votes, axis=0), four)
    np.testing.assert_array_equal(halved(values, 4), expected)


def test_pixels_of_many_classes_are_counted_whatever_the_part_before_had() -> None:
    class_map = np.random.default_rng(0).integers(0, 40, (300, 300), np.uint8)
    class_map[:256, :256] //= 8
    classes = [SegmentationClass(id=i, name=f"class {i}", color=f"#0000{i:02x}") for i in range(40)]
    contract = contract_with(classes=tuple(classes))
    areas = class_areas(reader(class_map), class_map.shape, SourceInfo(), contract)
    counts = np.bincount(class_map.reshape(-1), minlength=40)
    assert [area.pixels for area in areas] == counts.tolist()


@pytest.mark.parametrize("name", ["geotiff", "gpkg", "geojson"])
def test_a_folder_s_request_for_a_map_is_told_the_way_to_one(name: str) -> None:
    with pytest.raises(UnknownOutputError, match=r"ortho\.tif -o classes\.tif"):
        output_named(name)
