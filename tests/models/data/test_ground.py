"""GeoTIFFs as training data: labels on the ground, void, parts of scenes, blocks of ground."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import shapes
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject, transform

from models.contract.preprocessing import PercentileIntensity, PhysicalScale
from models.data.dataset import VOID, DatasetError, Sample
from models.data.depth import to_8_bits
from models.data.examination import examine
from models.data.options import LayoutOptions, SplitOptions
from models.data.preprocessing import preprocessing_of
from models.data.reading import read_dataset, scan_dataset

UTM = CRS.from_epsg(32633)
HERE = Affine(0.5, 0, 400_000, 0, -0.5, 5_800_000)  # half a meter a pixel
WHOLE = SplitOptions(fraction=0)
NAMES = ("field", "house", "road")


def truth(height: int, width: int) -> NDArray[np.uint8]:
    """Houses and a road on a field."""
    ids = np.zeros((height, width), np.uint8)
    ids[height // 2 : height // 2 + 9] = 2
    for top in range(5, height - 30, 60):
        for left in range(7, width - 30, 70):
            ids[top : top + 20, left : left + 25] = 1
    return ids


def picture(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    colors = np.array([[60, 140, 50], [200, 40, 40], [120, 120, 130]], np.uint8)
    return np.moveaxis(colors[ids], -1, 0)


def write_raster(path: Path, bands: NDArray[Any], grid: Affine = HERE, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    profile = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    profile |= {"transform": grid, "crs": UTM} | more
    with rasterio.open(path, "w", driver="GTiff", **profile) as file:
        file.write(bands)
    return path


def polygons(ids: NDArray[np.uint8], grid: Affine = HERE) -> list[tuple[shapely.Geometry, str]]:
    drawn = shapes(ids, mask=ids > 0, transform=grid)
    return [(shapely.geometry.shape(shape), NAMES[int(value)]) for shape, value in drawn]


def write_geojson(path: Path, drawn: Sequence[tuple[shapely.Geometry, str]]) -> None:
    def lon_lat(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(transform(UTM, CRS.from_epsg(4326), points[:, 0], points[:, 1]), axis=-1)

    features = [
        {
            "type": "Feature",
            "properties": {"label": name, "note": "seen"},
            "geometry": json.loads(shapely.to_geojson(shapely.transform(polygon, lon_lat))),
        }
        for polygon, name in drawn
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def write_geopackage(path: Path, drawn: Sequence[tuple[shapely.Geometry, str]]) -> None:
    """The least that a reader needs of one."""
    with sqlite3.connect(path) as file:
        file.executescript(
            "CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER, organization TEXT,"
            " organization_coordsys_id INTEGER, definition TEXT);"
            "CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT,"
            " geometry_type_name TEXT, srs_id INTEGER, z TINYINT, m TINYINT);"
            "INSERT INTO gpkg_spatial_ref_sys VALUES ('UTM', 32633, 'EPSG', 32633, '');"
            "INSERT INTO gpkg_geometry_columns VALUES ('drawn', 'geom', 'POLYGON', 32633, 0, 0);"
            "CREATE TABLE drawn (fid INTEGER PRIMARY KEY, geom BLOB, label TEXT);"
        )
        header = b"GP\x00\x01" + (32633).to_bytes(4, "little")
        rows = [(header + shapely.to_wkb(polygon), name) for polygon, name in drawn]
        file.executemany("INSERT INTO drawn (geom, label) VALUES (?, ?)", rows)
    file.close()


def write_classes(folder: Path, ignore: int | None = None) -> None:
    classes = [{"id": n, "name": name, "color": f"#00000{n}"} for n, name in enumerate(NAMES)]
    document = {"name": "made", "ignore": ignore, "classes": classes}
    (folder / "classes.json").write_text(json.dumps(document))


def put_together(samples: Sequence[Sample], like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The masks of all parts of a scene in their places."""
    whole = np.full_like(like, 99)
    for sample in samples:
        assert sample.window is not None
        top, left, height, width = sample.window
        image, mask = sample.read(3)
        assert image.shape == (height, width, 3)
        whole[top : top + height, left : left + width] = mask
    return whole


@pytest.mark.parametrize("kind", ["geojson", "gpkg"])
def test_polygons_are_burnt_on_the_parts_of_a_large_scene(kind: str, tmp_path: Path) -> None:
    ids = truth(1300, 1100)
    write_raster(tmp_path / "ortho.tif", picture(ids))
    write_classes(tmp_path)
    if kind == "geojson":
        write_geojson(tmp_path / "drawn.geojson", polygons(ids))
    else:
        write_geopackage(tmp_path / "drawn.gpkg", polygons(ids))
    dataset = read_dataset(tmp_path, WHOLE)
    assert dataset.layout == "geo"
    samples = dataset.split("train")
    assert len(samples) == 6  # 1300 × 1100 in parts of about 512
    read = put_together(samples, ids)
    # Seven decimals of longitude and latitude move no center of a pixel over an edge.
    np.testing.assert_array_equal(read, ids)
    image, mask = samples[3].read(3)
    np.testing.assert_array_equal(image, np.moveaxis(picture(mask), 0, -1))


def test_void_is_ignored_and_its_parts_are_left_out(tmp_path: Path) -> None:
    ids = truth(1100, 1100)
    bands = picture(ids)
    bands[:, :600, :600] = 0
    bands[0, 700, 700] = 0  # red alone: still a picture
    write_raster(tmp_path / "images" / "ortho.tif", bands, nodata=0)
    write_geojson(tmp_path / "drawn.geojson", polygons(ids))
    write_classes(tmp_path)
    dataset = read_dataset(tmp_path, WHOLE)
    assert dataset.class_list.ignore == VOID
    samples = dataset.split("train")
    assert len(samples) == 3
    expected = ids.copy()
    expected[:600, :600] = VOID
    expected[:550, :550] = 99  # read by nobody
    np.testing.assert_array_equal(put_together(samples, ids), expected)
    assert not examine(dataset, ("train",)).errors


def test_void_is_ignored_of_pairs_of_files_too(tmp_path: Path) -> None:
    ids = truth(80, 90)
    bands = np.concatenate((picture(ids), np.full((1, 80, 90), 255, np.uint8)))
    bands[3, :, 60:] = 0
    colors = {"photometric": "RGB", "alpha": "yes"}
    write_raster(tmp_path / "images" / "a.tif", bands, **colors)
    write_raster(tmp_path / "masks" / "a.tif", ids[np.newaxis])
    write_classes(tmp_path)
    dataset = read_dataset(tmp_path, WHOLE)
    assert dataset.layout == "folders"
    (sample,) = dataset.split("train")
    image, mask = sample.read(3)
    np.testing.assert_array_equal(mask[:, :60], ids[:, :60])
    assert (mask[:, 60:] == VOID).all()
    np.testing.assert_array_equal(image[:, 60:], np.repeat(image[:, 59:60], 30, axis=1))
    examination = examine(dataset, ("train",))
    assert not examination.errors
    assert examination.class_pixels("train").sum() == 80 * 60


def test_a_large_pair_is_read_in_parts(tmp_path: Path) -> None:
    ids = truth(1030, 700)
    write_raster(tmp_path / "images" / "a.tif", picture(ids))
    write_raster(tmp_path / "masks" / "a.tif", ids[np.newaxis])
    write_classes(tmp_path)
    samples = read_dataset(tmp_path, WHOLE).split("train")
    assert len(samples) == 2
    np.testing.assert_array_equal(put_together(samples, ids), ids)


def test_label_rasters_of_another_grid_give_the_nearest_value(tmp_path: Path) -> None:
    """Two tiles of labels in Web Mercator, on a picture in UTM; beyond them nothing is learned."""
    ids = truth(300, 400)
    write_raster(tmp_path / "ortho.tif", picture(ids))
    mercator = CRS.from_epsg(3857)
    x, y = transform(UTM, mercator, [HERE.c], [HERE.f])
    for number, left in enumerate((-20, 300)):
        grid = Affine(0.4, 0, x[0] + left * 0.5, 0, -0.4, y[0] + 20)
        tile = np.full((1000, 800), VOID, np.uint8)
        reproject(
            ids,
            tile,
            src_transform=HERE,
            src_crs=UTM,
            dst_transform=grid,
            dst_crs=mercator,
            resampling=Resampling.nearest,
            dst_nodata=VOID,
        )
        write_raster(
            tmp_path / "labels" / f"{number}.tif", tile[np.newaxis], grid, crs=mercator, nodata=VOID
        )
    write_classes(tmp_path)
    dataset = read_dataset(tmp_path, WHOLE)
    assert dataset.layout == "geo"
    (sample,) = dataset.split("train")
    mask = sample.read(3)[1]
    is_edge = np.zeros(ids.shape, np.bool_)
    is_edge[1:] |= ids[1:] != ids[:-1]
    is_edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    is_edge[:-1] |= is_edge[1:].copy()
    is_edge[:, :-1] |= is_edge[:, 1:].copy()
    known = (mask != VOID) & ~is_edge
    assert known.mean() > 0.8
    np.testing.assert_array_equal(mask[known], ids[known])


def test_deep_parts_are_read_by_one_rule_for_the_file(tmp_path: Path) -> None:
    ids = truth(1200, 600)
    deep = picture(ids).astype(np.uint16) * 10 + 300
    deep[:, :600] //= 2  # an upper half in the shade
    write_raster(tmp_path / "images" / "a.tif", deep)
    write_raster(tmp_path / "masks" / "a.tif", ids[np.newaxis])
    write_classes(tmp_path)
    rule = PercentileIntensity(gray=(5, 250), color=(5, 250))
    samples = read_dataset(tmp_path, WHOLE).with_intensity(rule).split("train")
    parts = [sample.read_image(3) for sample in samples]
    whole, depth = to_8_bits(np.moveaxis(deep, 0, -1), 16, None, rule)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert {sample.read_picture(3).depth for sample in samples} == {depth}


def test_bands_go_by_their_colors(tmp_path: Path) -> None:
    """Near infrared first, then blue, green, red, as some sensors' files are."""
    ids = truth(60, 50)
    red, green, blue = picture(ids)
    path = write_raster(tmp_path / "a.tif", np.stack((np.full_like(red, 9), blue, green, red)))
    with rasterio.open(path, "r+") as file:
        from rasterio.enums import ColorInterp as Color

        file.colorinterp = (Color.undefined, Color.blue, Color.green, Color.red)
    write_geojson(tmp_path / "drawn.geojson", polygons(ids))
    (sample,) = read_dataset(tmp_path, WHOLE).split("train")
    np.testing.assert_array_equal(sample.read_image(3), np.stack((red, green, blue), axis=-1))


def test_neighbours_are_no_test_of_each_other(tmp_path: Path) -> None:
    gray = np.zeros((1, 4096, 4096), np.uint8)
    write_raster(tmp_path / "ortho.tif", gray, compress="deflate")
    everywhere = shapely.box(HERE.c, HERE.f - 2048, HERE.c + 2048, HERE.f)
    write_geojson(tmp_path / "drawn.geojson", [(everywhere, "house")])
    write_classes(tmp_path)
    dataset = scan_dataset(tmp_path, SplitOptions(fraction=0.2))
    places = {name: [s.window for s in split] for name, split in dataset.splits.items()}
    assert len(places["train"]) + len(places["val"]) == 64
    assert 6 <= len(places["val"]) <= 24
    blocks = {(w.top // 1024, w.left // 1024) for w in places["val"] if w}
    assert len(places["val"]) == 4 * len(blocks)  # whole blocks of 2 × 2 parts


def test_tiles_of_one_scene_are_blocks_too(tmp_path: Path) -> None:
    for row in range(8):
        for column in range(8):
            grid = HERE @ Affine.translation(column * 32, row * 32)
            ids = truth(32, 32)
            name = f"tile_{row}_{column}.tif"
            write_raster(tmp_path / "images" / name, picture(ids), grid)
            write_raster(tmp_path / "masks" / name, ids[np.newaxis], grid)
    write_classes(tmp_path)
    val = scan_dataset(tmp_path, SplitOptions(fraction=0.2)).split("val")
    blocks = {(int(s.image.stem[5]) // 2, int(s.image.stem[7]) // 2) for s in val}
    assert len(val) == 4 * len(blocks)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: write_geojson(f / "old.geojson", polygons(truth(90, 90))), "may be versions"),
        (lambda f: (f / "drawn.geojson").write_text('{"features": []}'), "has no polygon"),
        (lambda f: write_raster(f / "a.tif", picture(truth(90, 90)), crs=None), "says no CRS"),
        (
            lambda f: write_raster(
                f / "a.tif", picture(truth(90, 90)), HERE @ Affine.translation(9000, 0)
            ),
            "lies beside every picture",
        ),
        (
            lambda f: write_geojson(
                f / "drawn.geojson", [(shapely.box(4e5, 5.7e6, 4.1e5, 5.9e6), "lake")]
            ),
            "'lake', which classes.json does not list",
        ),
        (
            lambda f: (f / "drawn.geojson").write_text(
                json.dumps(
                    {
                        "type": "FeatureCollection",
                        "features": [
                            {
                                "type": "Feature",
                                "properties": {"label": "house"},
                                "geometry": json.loads(
                                    shapely.to_geojson(polygons(truth(90, 90))[0][0])
                                ),
                            }
                        ],
                    }
                )
            ),
            "has longitudes and latitudes",
        ),
    ],
)
def test_what_may_be_meant_in_two_ways_is_refused(spoil: Any, said: str, tmp_path: Path) -> None:
    write_raster(tmp_path / "a.tif", picture(truth(90, 90)))
    write_geojson(tmp_path / "drawn.geojson", polygons(truth(90, 90)))
    write_classes(tmp_path)
    assert read_dataset(tmp_path, WHOLE).layout == "geo"
    spoil(tmp_path)
    with pytest.raises(DatasetError, match=said):
        read_dataset(tmp_path, WHOLE)


def test_the_column_of_the_classes_is_asked_for_where_it_is_not_sure(tmp_path: Path) -> None:
    write_raster(tmp_path / "a.tif", picture(truth(90, 90)))
    write_geojson(tmp_path / "drawn.geojson", polygons(truth(90, 90)))
    text = (tmp_path / "drawn.geojson").read_text().replace('"label"', '"what"')
    (tmp_path / "drawn.geojson").write_text(text)
    with pytest.raises(DatasetError, match=r"its columns are what, note.* --label-field"):
        read_dataset(tmp_path, WHOLE)
    dataset = read_dataset(tmp_path, WHOLE, LayoutOptions(label_field="what"))
    assert [c.name for c in dataset.class_list.classes] == ["background", "house", "road"]
    write_classes(tmp_path)  # whose names one column alone holds
    assert read_dataset(tmp_path, WHOLE).layout == "geo"


def test_smaller_polygons_lie_on_top_and_parts_are_told_of(tmp_path: Path) -> None:
    write_raster(tmp_path / "a.tif", picture(truth(90, 90)))
    west, north = HERE.c, HERE.f
    road = shapely.box(west, north - 40, west + 40, north)
    house = shapely.box(west + 10, north - 20, west + 20, north - 10)
    write_geojson(tmp_path / "drawn.geojson", [(house, "house"), (road, "road")])
    write_classes(tmp_path)
    dataset = read_dataset(tmp_path, WHOLE)
    mask = dataset.split("train")[0].read(3)[1]
    assert (mask[25, 25], mask[10, 10], mask[85, 85]) == (1, 2, 0)
    assert not [i for i in dataset.issues if i.kind == "overlapping polygons"]
    beside = shapely.box(west + 30, north - 20, west + 45, north - 10)
    write_geojson(tmp_path / "drawn.geojson", [(beside, "house"), (road, "road")])
    (told,) = [i for i in read_dataset(tmp_path, WHOLE).issues if i.kind == "overlapping polygons"]
    assert "1 pair of polygons of different classes" in told.text


def test_the_scale_is_that_of_the_pixels_on_the_ground(tmp_path: Path) -> None:
    """In Web Mercator at 52° N a pixel of 1 m is 0.61 m wide."""
    write_raster(tmp_path / "a.tif", picture(truth(90, 90)))
    write_geojson(tmp_path / "drawn.geojson", polygons(truth(90, 90)))
    found = preprocessing_of(examine(read_dataset(tmp_path, WHOLE), ("train",)))
    assert found.scale == PhysicalScale(pixel_size=0.5, unit="m")
    assert "georeferenced, with pixels of about 0.5 m" in found.scale_reason
    x, y = transform(UTM, CRS.from_epsg(3857), [HERE.c], [HERE.f])
    grid = Affine(1, 0, x[0], 0, -1, y[0])
    write_raster(tmp_path / "a.tif", picture(truth(90, 90)), grid, crs=CRS.from_epsg(3857))
    found = preprocessing_of(examine(read_dataset(tmp_path, WHOLE), ("train",)))
    assert isinstance(found.scale, PhysicalScale)
    assert found.scale.pixel_size == pytest.approx(0.61, abs=0.01)
