"""Maps of real rasters by real models: what comes out, and where."""

import json
import shutil
import sqlite3
import threading
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.transform import Affine

from models.contract import CONTRACT_PATH
from service.domain.errors import ImageTooLargeError, InvalidOptionError, ServiceError
from service.domain.gdal_blocks import BLOCKS
from service.domain.source import Window
from service.inputs.raster import Raster, open_raster
from service.maps.job import MapProgress, MapStoppedError
from tests.service.maps.rasters import PLACE, Mapper, class_map_of, patches, save_raster
from tests.solvable import solve

SIDE = 128  # of tiles: several rows and columns of them


def test_a_map_lies_where_its_raster_lies_and_says_what_its_values_mean(
    solvable: Mapper, tmp_path: Path
) -> None:
    pixels = patches(1100, 530)
    source = save_raster(tmp_path / "scene.tif", pixels)
    target = tmp_path / "classes.tif"
    summary = solvable(source, {"geotiff": target}, side=SIDE)
    assert summary.files == {"geotiff": (target, Path(f"{target}.aux.xml"))}
    with rasterio.open(target) as written, rasterio.open(source) as given:
        np.testing.assert_array_equal(written.read(1), solve(pixels))
        assert (written.crs, written.transform, written.shape) == (
            given.crs,
            given.transform,
            given.shape,
        )
        assert written.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert written.overviews(1) == [2, 4]
        assert written.nodata == 255
        colors = written.colormap(1)
        assert colors[1] == (0x43, 0xA0, 0x47, 255)
        assert colors[255][3] == 0
        assert json.loads(written.tags()["SEGSERVE_CLASSES"])["2"] == "blue"
    names = Path(f"{target}.aux.xml").read_text()
    assert "<Category>red</Category><Category>green</Category><Category>blue</Category>" in names
    assert not (tmp_path / "work").exists()


def test_tiles_leave_no_trace(conv: Mapper, tmp_path: Path) -> None:
    for height, width in ((300, 430), (1, 5000), (5000, 1), (257, 255)):
        source = save_raster(tmp_path / "scene.tif", patches(height, width), block=None)
        whole, tiled = tmp_path / "whole.tif", tmp_path / "tiled.tif"
        assert conv(source, {"geotiff": whole}, side=4096).tiles == 1
        assert conv(source, {"geotiff": tiled}, side=SIDE).tiles > 1
        np.testing.assert_array_equal(class_map_of(tiled), class_map_of(whole))


def test_a_map_and_its_confidence_are_of_one_run(solvable: Mapper, tmp_path: Path) -> None:
    pixels = patches(200, 300)
    source = save_raster(tmp_path / "scene.tif", pixels)
    targets = {"geotiff": tmp_path / "classes.tif", "confidence": tmp_path / "confidence.tif"}
    solvable(source, targets, side=SIDE)
    np.testing.assert_array_equal(class_map_of(targets["geotiff"]), solve(pixels))
    shares = (pixels.max(axis=-1) + 1e-3) / (pixels.sum(axis=-1, dtype=np.float64) + 3e-3)
    np.testing.assert_allclose(class_map_of(targets["confidence"]), shares * 255, atol=0.51)


@pytest.mark.parametrize("kind", ["nodata", "mask", "alpha"])
def test_what_is_void_gets_no_class(solvable: Mapper, tmp_path: Path, kind: str) -> None:
    pixels = patches(300, 430).clip(1)
    valid = np.ones((300, 430), np.bool_)
    valid[:150, 100:260] = False
    valid[200:, 400:] = False
    if kind == "nodata":
        stored = np.where(valid[..., np.newaxis], pixels, 0).astype(np.uint8)
        source = save_raster(tmp_path / "scene.tif", stored, nodata=0)
    elif kind == "mask":
        source = save_raster(tmp_path / "scene.tif", pixels, valid=valid)
    else:
        alpha = (valid * np.uint8(255))[..., np.newaxis]
        stored = np.concatenate((pixels, alpha), axis=-1)
        source = save_raster(tmp_path / "scene.tif", stored, photometric="RGB", alpha="YES")
    target = tmp_path / "classes.tif"
    solvable(source, {"geotiff": target}, side=SIDE)
    np.testing.assert_array_equal(class_map_of(target), np.where(valid, solve(pixels), 255))


def test_beside_a_void_the_network_sees_the_picture_mirrored(conv: Mapper, tmp_path: Path) -> None:
    """Of what is void the network sees nothing, whatever is stored there, in any tile."""
    pixels, valid = patches(420, 400, side=5), np.ones((420, 400), np.bool_)
    valid[:, 200:] = False
    maps = []
    for name, rubbish in (("black", 0), ("white", 255)):
        stored = np.where(valid[..., np.newaxis], pixels, rubbish).astype(np.uint8)
        source = save_raster(tmp_path / f"{name}.tif", stored, valid=valid)
        for side in (SIDE, 4096):
            target = tmp_path / f"{name}-{side}.tif"
            conv(source, {"geotiff": target}, side=side)
            maps.append(class_map_of(target))
    for other in maps[1:]:
        np.testing.assert_array_equal(other, maps[0])
    mirrored = np.concatenate((pixels[:, :200], pixels[:, 199::-1]), axis=1)
    target = tmp_path / "mirrored.tif"
    conv(save_raster(tmp_path / "whole.tif", mirrored), {"geotiff": target})
    # The last ones see beyond the 128 pixels that are mirrored.
    np.testing.assert_array_equal(maps[0][:, :200], class_map_of(target)[:, :200])


def test_tiles_without_a_picture_are_not_run(solvable: Mapper, tmp_path: Path) -> None:
    pixels, valid = patches(600, 600), np.zeros((600, 600), np.bool_)
    valid[:64, :64] = True
    source = save_raster(tmp_path / "scene.tif", pixels, valid=valid)
    run = 0

    async def count() -> None:
        nonlocal run
        run += 1

    told: list[MapProgress] = []
    target = tmp_path / "classes.tif"
    summary = solvable(
        source, {"geotiff": target}, side=SIDE, before_tile=count, progress=told.append
    )
    assert run == 1 < summary.tiles
    assert told[-1].done == told[-1].total == 600 * 600
    assert set(np.unique(class_map_of(target)[64:])) == {255}


def test_a_map_that_was_stopped_goes_on_at_its_row(conv: Mapper, tmp_path: Path) -> None:
    source = save_raster(tmp_path / "scene.tif", patches(500, 300))
    unbroken, target = tmp_path / "unbroken.tif", tmp_path / "classes.tif"
    rows = conv(source, {"geotiff": unbroken}, side=SIDE).rows
    for _ in range(rows):
        done = 0

        async def stop_in_the_second_row() -> None:
            nonlocal done
            done += 1
            if done > 4:
                raise MapStoppedError("enough")

        with pytest.raises(MapStoppedError):
            conv(source, {"geotiff": target}, side=SIDE, before_tile=stop_in_the_second_row)
        assert not target.exists()
        if len(list((tmp_path / "work").glob("classes-*.tif"))) >= rows - 1:
            break
    summary = conv(source, {"geotiff": target}, side=SIDE)
    assert summary.resumed_rows == rows - 1
    assert target.read_bytes() == unbroken.read_bytes()


def test_blended_rows_that_are_resumed_are_those_of_an_unbroken_run(
    seeing_everything: Mapper, tmp_path: Path
) -> None:
    source = save_raster(tmp_path / "scene.tif", patches(500, 300))
    unbroken, target = tmp_path / "unbroken.tif", tmp_path / "classes.tif"
    summary = seeing_everything(source, {"geotiff": unbroken}, side=SIDE)
    assert summary.blended
    for row in reversed(range(summary.rows)):
        seeing_everything(source, {"geotiff": target}, side=SIDE, only_rows=[row])
    assert seeing_everything(source, {"geotiff": target}, side=SIDE).resumed_rows == summary.rows
    np.testing.assert_array_equal(class_map_of(target), class_map_of(unbroken))


def test_what_was_done_for_another_source_or_model_is_not_used(
    solvable: Mapper, conv: Mapper, tmp_path: Path
) -> None:
    source, target = tmp_path / "scene.tif", tmp_path / "classes.tif"
    pixels = patches(300, 300)
    conv(save_raster(source, pixels), {"geotiff": target}, side=SIDE, only_rows=[0, 1])
    assert solvable(source, {"geotiff": target}, side=SIDE).resumed_rows == 0
    np.testing.assert_array_equal(class_map_of(target), solve(pixels))


def test_cancelled_is_asked_before_each_tile(solvable: Mapper, tmp_path: Path) -> None:
    source = save_raster(tmp_path / "scene.tif", patches(300, 300))
    with pytest.raises(MapStoppedError):
        solvable(source, {"geotiff": tmp_path / "out.tif"}, cancelled=lambda: True)


def test_a_part_is_what_the_whole_has_there(conv: Mapper, tmp_path: Path) -> None:
    source = save_raster(tmp_path / "scene.tif", patches(500, 400))
    whole, part = tmp_path / "whole.tif", tmp_path / "part.tif"
    conv(source, {"geotiff": whole}, side=SIDE)
    left, top = PLACE @ (70, 40)
    right, bottom = PLACE @ (333, 381)
    conv(source, {"geotiff": part}, side=SIDE, bbox=f"{left},{bottom},{right},{top}")
    np.testing.assert_array_equal(class_map_of(part), class_map_of(whole)[40:381, 70:333])
    with rasterio.open(part) as written:
        assert written.transform == PLACE @ Affine.translation(70, 40)
    with pytest.raises(InvalidOptionError, match="does not touch the raster"):
        conv(source, {"geotiff": part}, bbox="0,0,1,1")


def test_deep_samples_become_8_bits_by_one_rule_for_the_file(
    solvable: Mapper, tmp_path: Path
) -> None:
    """A dark tile and a bright one are not stretched each by itself."""
    ramp = np.linspace(0, 4095, 600).astype(np.uint16)
    pixels = np.zeros((140, 600, 3), np.uint16)
    pixels[..., 0], pixels[..., 1] = 2000, ramp
    source = save_raster(tmp_path / "scene.tif", pixels, nbits=12)
    tiled, whole = tmp_path / "tiled.tif", tmp_path / "whole.tif"
    summary = solvable(source, {"geotiff": tiled}, side=SIDE)
    solvable(source, {"geotiff": whole}, side=4096)
    assert summary.window is not None
    assert tuple(summary.window) == (0, 4095)
    np.testing.assert_array_equal(class_map_of(tiled), class_map_of(whole))
    assert abs(int(class_map_of(tiled)[0].argmax()) - int((ramp > 2000).argmax())) <= 3


def test_floating_point_samples_need_a_window(solvable: Mapper, tmp_path: Path) -> None:
    pixels = patches(100, 100)
    stored = pixels.astype(np.float32) / 255
    stored[:10] = np.nan
    source = save_raster(tmp_path / "scene.tif", stored)
    target = tmp_path / "classes.tif"
    with pytest.raises(InvalidOptionError, match="intensity=0,1"):
        solvable(source, {"geotiff": target})
    solvable(source, {"geotiff": target}, intensity="0,1")
    expected = solve(pixels)
    expected[:10] = 255
    np.testing.assert_array_equal(class_map_of(target), expected)


def test_bands_are_those_that_are_called_so_or_those_that_are_named(
    solvable: Mapper, tmp_path: Path
) -> None:
    pixels, target = patches(80, 90), tmp_path / "classes.tif"
    five = np.concatenate((pixels[..., ::-1], pixels[..., :2]), axis=-1)
    source = save_raster(tmp_path / "five.tif", five, photometric="MINISBLACK")
    with pytest.raises(InvalidOptionError, match="bands=4,3,2"):
        solvable(source, {"geotiff": target})
    with pytest.raises(InvalidOptionError, match="has 5 bands"):
        solvable(source, {"geotiff": target}, bands="7,2,1")
    solvable(source, {"geotiff": target}, bands="3,2,1")
    np.testing.assert_array_equal(class_map_of(target), solve(pixels))
    with rasterio.open(source, "r+") as dataset:
        names = ("blue", "green", "red", "undefined", "undefined")
        dataset.colorinterp = [rasterio.enums.ColorInterp[name] for name in names]
    solvable(source, {"geotiff": target})
    np.testing.assert_array_equal(class_map_of(target), solve(pixels))


def test_a_raster_in_strips_is_read_in_rows_of_tiles(
    conv: Mapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = patches(200, 1500)
    valid = np.ones((200, 1500), np.bool_)
    valid[:, 700:800] = False
    striped = save_raster(tmp_path / "striped.tif", pixels, valid=valid, block=None)
    tiled = save_raster(tmp_path / "tiled.tif", pixels, valid=valid)
    one, other = tmp_path / "one.tif", tmp_path / "other.tif"
    conv(striped, {"geotiff": one}, side=SIDE)
    conv(tiled, {"geotiff": other}, side=SIDE)
    np.testing.assert_array_equal(class_map_of(one), class_map_of(other))
    monkeypatch.setattr("service.inputs.raster.MAX_STRIP_BYTES", 100_000)
    with pytest.raises(ImageTooLargeError, match="TILED=YES"):
        conv(striped, {"geotiff": one}, side=SIDE)


def test_a_smaller_scale_gives_a_map_of_the_raster_s_own_size(conv: Mapper, tmp_path: Path) -> None:
    pixels, valid = patches(800, 1000, side=40), np.ones((800, 1000), np.bool_)
    valid[600:, :300] = False
    source = save_raster(tmp_path / "scene.tif", pixels, valid=valid)
    tiled, whole = tmp_path / "tiled.tif", tmp_path / "whole.tif"
    summary = conv(source, {"geotiff": tiled}, side=SIDE, scale="0.4")
    assert summary.scale == pytest.approx(0.4)
    assert summary.tiles > 1
    assert conv(source, {"geotiff": whole}, side=4096, scale="0.4").tiles == 1
    one, other = class_map_of(tiled), class_map_of(whole)
    assert one.shape == (800, 1000)
    assert (one != other).mean() < 1e-3  # logits of other tiles, in another order of additions
    assert (one[~valid] == 255).all()
    assert (one[valid] != 255).all()
    with pytest.raises(InvalidOptionError, match="not enlarged"):
        conv(source, {"geotiff": whole}, scale="2")


def test_the_ground_says_at_which_scale_a_network_of_the_ground_sees(
    map_store: Path, tmp_path: Path
) -> None:
    """One that was trained at pixels of 1.25 m sees two fifths of a raster of 0.5 m."""
    store = tmp_path / "store"
    shutil.copytree(map_store / "conv", store / "ground")
    contract = store / "ground" / "1" / CONTRACT_PATH
    told = json.loads(contract.read_text())
    told |= {"name": "ground", "scale": {"kind": "physical", "pixel_size": 1.25, "unit": "m"}}
    contract.write_text(json.dumps(told))
    source = save_raster(tmp_path / "scene.tif", patches(500, 600, side=40))
    mapper = Mapper(store, "ground")
    by_ground, by_hand = tmp_path / "ground.tif", tmp_path / "hand.tif"
    summary = mapper(source, {"geotiff": by_ground}, side=SIDE)
    assert summary.scale == pytest.approx(0.4, rel=2e-3)  # UTM's meters are a little off here
    assert not summary.notes
    mapper(source, {"geotiff": by_hand}, side=SIDE, scale=f"{summary.scale}")
    np.testing.assert_array_equal(class_map_of(by_ground), class_map_of(by_hand))
    mapper.close()


def test_a_bigtiff_and_a_cog_are_what_a_tiff_is(conv: Mapper, tmp_path: Path) -> None:
    pixels, valid = patches(700, 600, side=30), np.ones((700, 600), np.bool_)
    valid[:200, 100:300] = False
    plain = save_raster(tmp_path / "plain.tif", pixels, valid=valid)
    big = save_raster(tmp_path / "big.tif", pixels, valid=valid, bigtiff="YES")
    assert big.read_bytes()[2] == 43
    cog, target = tmp_path / "cog.tif", tmp_path / "classes.tif"
    rasterio.shutil.copy(plain, cog, driver="COG", blocksize=256, overview_resampling="nearest")
    with rasterio.open(cog) as dataset:
        assert dataset.overviews(1)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    maps = []
    for source in (plain, big, cog):
        conv(source, {"geotiff": target}, side=SIDE)
        maps.append(class_map_of(target))
    np.testing.assert_array_equal(maps[1], maps[0])
    np.testing.assert_array_equal(maps[2], maps[0])
    assert (maps[0][~valid] == 255).all()


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_blocks_that_are_not_stored_are_void_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interleave: str
) -> None:
    pixels = np.zeros((700, 900, 3), np.uint8)
    pixels[130:200, 270:500, 1] = patches(70, 230).max(axis=-1)  # of one band alone
    pixels[600:, 800:] = patches(100, 100)
    stored = save_raster(tmp_path / "stored.tif", pixels, nodata=0)
    sparse = save_raster(
        tmp_path / "sparse.tif", pixels, nodata=0, sparse_ok=True, interleave=interleave
    )
    assert sparse.stat().st_size < stored.stat().st_size / 3
    read: list[Window] = []
    masked = Raster._masked  # noqa: SLF001

    def counted(raster: Raster, window: Window) -> NDArray[np.bool_]:
        read.append(window)
        return masked(raster, window)

    with open_raster(sparse) as ours, open_raster(stored) as theirs:
        for window in (
            Window(0, 0, 700, 900), Window(100, 200, 90, 91), Window(0, 0, 128, 256),
            Window(65, 257, 300, 3), Window(640, 832, 60, 68),
        ):  # fmt: skip
            expected = theirs.valid(window)
            with monkeypatch.context() as patched:
                patched.setattr(Raster, "_masked", counted)
                found = ours.valid(window)
            assert (found is None) == (expected is None)
            if found is not None and expected is not None:
                np.testing.assert_array_equal(found, expected)
    assert max(window.height * window.width for window in read) < 700 * 900
    assert Window(0, 0, 128, 256) not in read


@pytest.mark.parametrize("bbox", [None, "389050.25,5818500.75,389750.25,5818950.75"])
def test_a_map_of_a_sparse_raster_is_sparse_and_the_same(
    solvable: Mapper, tmp_path: Path, bbox: str | None
) -> None:
    pixels = np.zeros((1700, 2100, 3), np.uint8)
    pixels[700:1000, 1100:1500] = patches(300, 400).clip(1)
    found = {}
    for kind in ("stored", "sparse"):
        path = tmp_path / f"{kind}.tif"
        source = save_raster(path, pixels, nodata=0, sparse_ok=kind == "sparse")
        names = {"geotiff": "classes", "confidence": "confidence"}
        targets = {key: tmp_path / f"{kind}-{name}.tif" for key, name in names.items()}
        summary = solvable(source, targets, bbox=bbox)
        levels = []
        for target in targets.values():
            with rasterio.open(target) as dataset:
                assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                assert len(dataset.overviews(1)) == (3 if bbox is None else 2)
                first = dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1)
                assert (first is None) == (kind == "sparse")
                levels.append(dataset.read(1))
                for factor in dataset.overviews(1):
                    shape = -(-dataset.height // factor), -(-dataset.width // factor)
                    levels.append(dataset.read(1, out_shape=shape))
        found[kind] = levels, summary.areas
    assert found["sparse"][1] == found["stored"][1]
    assert sum(area.pixels for area in found["sparse"][1]) == 300 * 400
    for ours, theirs in zip(found["sparse"][0], found["stored"][0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_raster_without_georeference_gives_a_map_without_one(
    solvable: Mapper, tmp_path: Path
) -> None:
    pixels, target = patches(80, 90), tmp_path / "classes.tif"
    source = save_raster(tmp_path / "scene.tif", pixels, crs=None, transform=None)
    summary = solvable(source, {"geotiff": target})
    assert summary.info.transform is None
    with rasterio.open(target) as written:
        assert written.crs is None
        np.testing.assert_array_equal(written.read(1), solve(pixels))


def test_rotation_custom_crs_and_points_are_kept(solvable: Mapper, tmp_path: Path) -> None:
    custom = (
        'PROJCS["Mine",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
        'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],'
        'PROJECTION["Lambert_Azimuthal_Equal_Area"],PARAMETER["latitude_of_center",51.3],'
        'PARAMETER["longitude_of_center",9.7],PARAMETER["false_easting",1000],'
        'PARAMETER["false_northing",2000],UNIT["metre",1]]'
    )
    turned = Affine.translation(1200, 2300) @ Affine.rotation(30) @ Affine.scale(0.1, -0.1)
    source = save_raster(tmp_path / "scene.tif", patches(80, 90), crs=custom, transform=turned)
    with rasterio.open(source, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    target = tmp_path / "classes.tif"
    solvable(source, {"geotiff": target})
    with rasterio.open(source) as given, rasterio.open(target) as written:
        assert written.crs.to_wkt() == given.crs.to_wkt()
        assert written.transform.almost_equals(given.transform, 1e-9)
        assert written.tags()["AREA_OR_POINT"] == "Point"
    package = tmp_path / "regions.gpkg"
    summary = solvable(source, {"gpkg": package})
    file = sqlite3.connect(package)
    definitions = file.execute("SELECT definition FROM gpkg_spatial_ref_sys").fetchall()
    (area,) = file.execute("SELECT sum(area_m2) FROM regions").fetchone()
    file.close()
    assert (summary.info.reference,) in definitions
    assert area == pytest.approx(80 * 90 * 0.01, rel=1e-4)  # an equal-area projection's own


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("text.tif", "no TIFF"),
        ("png.tif", "no TIFF"),
        ("jp2.tif", "no TIFF"),
        ("netcdf.tif", "no TIFF"),
        ("hdf5.tif", "no TIFF"),
        ("cut.tif", "truncated|cut short"),
        ("int.tif", "int16"),
    ],
)
def test_what_is_no_raster_of_ours_is_refused_in_a_sentence(
    solvable: Mapper, tmp_path: Path, name: str, sentence: str
) -> None:
    draw = np.random.default_rng(0)
    whole = save_raster(tmp_path / "whole.tif", draw.integers(0, 255, (300, 300, 3), np.uint8))
    (tmp_path / "text.tif").write_text("<VRTDataset/>")
    starts = {"png": b"\x89PNG\r\n\x1a\n", "jp2": b"\0\0\0\x0cjP  \r\n", "netcdf": b"CDF\x01"}
    for kind, start in (starts | {"hdf5": b"\x89HDF\r\n\x1a\n"}).items():
        (tmp_path / f"{kind}.tif").write_bytes(start + bytes(64))
    (tmp_path / "cut.tif").write_bytes(whole.read_bytes()[:150_000])
    save_raster(tmp_path / "int.tif", patches(64, 64).astype(np.int16))
    with pytest.raises(ServiceError, match=sentence):
        solvable(tmp_path / name, {"geotiff": tmp_path / "out.tif"}, side=SIDE)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12])
@pytest.mark.parametrize("photometric", ["MINISBLACK", "MINISWHITE"])
def test_samples_of_few_bits_are_what_they_are_in_a_picture(
    tmp_path: Path, bits: int, photometric: str
) -> None:
    white = 2**bits - 1
    dtype = np.uint8 if bits <= 8 else np.uint16
    stored = np.linspace(0, white, 64).round().astype(dtype)[np.newaxis].repeat(64, 0)
    path = save_raster(
        tmp_path / "scan.tif", stored[..., np.newaxis], nbits=bits, photometric=photometric
    )
    with open_raster(path) as raster:
        samples = raster.read(Window(0, 0, 64, 64))
    seen = white - stored if photometric == "MINISWHITE" else stored
    expected = seen if bits >= 8 else seen.astype(np.uint16) * 255 // white
    np.testing.assert_array_equal(samples[..., 0], expected)


def test_gdal_keeps_64_megabytes_of_blocks_while_a_raster_is_open(tmp_path: Path) -> None:
    path = save_raster(tmp_path / "ortho.tif", patches(64, 64))
    with open_raster(path):
        assert rasterio.env.getenv()["GDAL_CACHEMAX"] == 64 * 2**20  # rasterio's are bytes


def test_nobody_touches_blocks_of_gdal_s_cache_while_one_writes() -> None:
    events: list[str] = []
    wants, begun, may_end = (threading.Event() for _ in range(3))

    def write() -> None:
        wants.set()
        with BLOCKS.writing():
            begun.set()
            events.append("writes")
            may_end.wait()
            events.append("has written")

    def read() -> None:
        with BLOCKS.reading():
            events.append("reads")

    writer, reader = threading.Thread(target=write), threading.Thread(target=read)
    with BLOCKS.reading(), BLOCKS.reading():
        writer.start()
        wants.wait()
        events.append("have read")
    begun.wait()
    reader.start()
    may_end.set()
    writer.join()
    reader.join()
    assert events == ["have read", "writes", "has written", "reads"]


def test_a_disk_that_is_full_at_the_last_block_is_told_of(
    solvable: Mapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL closes such a file without a word, and its last blocks are void."""
    source = save_raster(tmp_path / "ortho.tif", patches(200, 300))
    target = tmp_path / "out.tif"
    with monkeypatch.context() as full:
        full.setattr("service.domain.disk.shutil.disk_usage", lambda _: Mock(free=4096))
        with pytest.raises(OSError, match="No space left"):
            solvable(source, {"geotiff": target}, side=SIDE)
    assert not target.exists()
    solvable(source, {"geotiff": target}, side=SIDE)
    with rasterio.open(target) as dataset:
        np.testing.assert_array_equal(dataset.read(1), solve(patches(200, 300)))
