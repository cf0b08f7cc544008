"""`segserve predict` on rasters, as a person at a terminal uses it."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from service.cli import main
from tests.service.maps.rasters import PLACE, class_map_of, patches, save_raster
from tests.solvable import solve


def predict(store: Path, *arguments: object) -> int:
    return main(["predict", "--model-store", str(store), "-m", "solvable", *map(str, arguments)])


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """200 × 300 pixels of half a meter: 15,000 m²."""
    return save_raster(tmp_path / "ortho.tif", patches(200, 300, side=20))


def test_one_command_makes_a_map_and_its_polygons(
    solvable_store: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, polygons = tmp_path / "classes.tif", tmp_path / "regions.gpkg"
    command = (scene, "-o", target, "--polygons", polygons, "--min-area", 150)
    assert predict(solvable_store, *command) == 0
    streams = capsys.readouterr()
    np.testing.assert_array_equal(class_map_of(target), solve(patches(200, 300, side=20)))
    assert f"wrote {target}\nwrote {polygons}\n1 written, 0 skipped" in streams.out
    assert "m²" in streams.out
    file = sqlite3.connect(polygons)
    regions = file.execute("SELECT count(*), min(area_m2), sum(area_m2) FROM regions").fetchone()
    total = file.execute("SELECT sum(area_m2) FROM classes").fetchone()[0]
    file.close()
    assert regions[0] > 2
    assert regions[1] >= 150
    assert total == pytest.approx(15_000, rel=1e-3)
    assert predict(solvable_store, *command) == 0
    assert "0 written, 1 skipped" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob(".segserve-map-*")] == []


def test_a_map_of_others_or_of_another_recipe_is_not_replaced(
    solvable_store: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "classes.tif"
    assert predict(solvable_store, scene, "-o", scene) == 2
    shutil.copy(scene, target)
    before = target.read_bytes()
    assert predict(solvable_store, scene, "-o", target) == 2
    assert "was not written by `segserve predict` and stays" in capsys.readouterr().err
    assert target.read_bytes() == before
    target.unlink()
    assert predict(solvable_store, scene, "-o", target) == 0
    left, top = PLACE @ (0, 0)
    right, bottom = PLACE @ (100, 100)
    part = (scene, "-o", target, f"--bbox={left},{bottom},{right},{top}")
    assert predict(solvable_store, *part) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert predict(solvable_store, *part, "--overwrite") == 0
    assert class_map_of(target).shape == (100, 100)


def test_a_folder_of_scenes_is_mirrored(
    solvable_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = tmp_path / "scenes"
    (scenes / "north").mkdir(parents=True)
    save_raster(scenes / "a.tif", patches(64, 64))
    save_raster(scenes / "north" / "b.TIFF", patches(80, 64))
    (scenes / "torn.tif").write_bytes((scenes / "a.tif").read_bytes()[:200])
    out = scenes / "maps"
    command = (scenes, "-o", out, "--format", "geotiff", "--polygons", "geojson")
    assert predict(solvable_store, *command) == 1
    streams = capsys.readouterr()
    assert streams.out.startswith("wrote")
    assert "torn.tif: " in streams.err
    assert "2 written, 0 skipped because they were there, 1 failed" in streams.out
    np.testing.assert_array_equal(class_map_of(out / "north" / "b.tif"), solve(patches(80, 64)))
    document = json.loads((out / "a.geojson").read_bytes())
    for feature in document["features"]:
        corners = np.concatenate(feature["geometry"]["coordinates"])
        assert (np.abs(corners) <= (180, 90)).all()
    (scenes / "torn.tif").unlink()
    assert predict(solvable_store, *command) == 0
    assert "0 written, 2 skipped" in capsys.readouterr().out


def test_a_map_can_lie_on_the_grid_of_another_raster(
    solvable_store: Path, scene: Path, tmp_path: Path
) -> None:
    moved = PLACE @ Affine.translation(51, 33) @ Affine.scale(1, 1)
    like = save_raster(tmp_path / "like.tif", patches(90, 70), transform=moved)
    target = tmp_path / "classes.tif"
    assert predict(solvable_store, scene, "-o", target, "--like", like) == 0
    expected = solve(patches(200, 300, side=20))[33:123, 51:121]
    np.testing.assert_array_equal(class_map_of(target), expected)
    coarse = save_raster(
        tmp_path / "coarse.tif",
        patches(40, 40),
        crs="EPSG:4326",
        transform=Affine(2e-5, 0, 13.36467, 0, -2e-5, 52.50976),
    )
    assert predict(solvable_store, scene, "-o", target, "--like", coarse, "--overwrite") == 0
    with rasterio.open(target) as written:
        assert written.crs.to_epsg() == 4326
        assert written.shape == (40, 40)
        assert set(np.unique(written.read(1))) == {0, 1, 2}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--polygons", "regions.shp"), "must end in .gpkg"),
        (("--min-area", "3"), "--min-area is of polygons"),
        (("--bbox", "1,2,3"), "left,bottom,right,top"),
        (("--bbox", "0,0,1,1"), "does not touch the raster"),
        (("--format", "png"), "--format png is not"),
        (("-p", "alpha=1"), "is not known of maps"),
        (("-p", "bands=9"), "has 3 bands"),
        (("--ray-actors", "2"), "goes with --ray alone"),
        (("--like", "nowhere.tif"), "there is no file nowhere.tif"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    solvable_store: Path,
    scene: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    sentence: str,
) -> None:
    target = tmp_path / "classes.tif"
    assert predict(solvable_store, scene, "-o", target, *flags) in (1, 2)
    assert sentence in capsys.readouterr().err
    assert not target.exists()


def test_a_site_of_its_own_has_a_map_on_its_own_grids_alone(
    solvable_store: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crs = 'LOCAL_CS["site",UNIT["metre",1]]'
    site = save_raster(tmp_path / "site.tif", patches(200, 300, side=20), crs=crs)
    moved = PLACE @ Affine.translation(51, 33)
    like = save_raster(tmp_path / "like.tif", patches(90, 70), crs=crs, transform=moved)
    target = tmp_path / "classes.tif"
    assert predict(solvable_store, site, "-o", target, "--like", like) == 0
    expected = solve(patches(200, 300, side=20))[33:123, 51:121]
    np.testing.assert_array_equal(class_map_of(target), expected)
    assert "m²" not in capsys.readouterr().out
    for raster, grid in ((scene, site), (site, scene)):
        none = tmp_path / "none.tif"
        assert predict(solvable_store, raster, "-o", none, "--like", grid) == 1
        assert "by its CRS not all of one of the two does" in capsys.readouterr().err
        assert not none.exists()


IS_KILLED_IN_THE_FIFTH_ROW = """
import os, signal, sys
from service.cli import main
from service.maps.rows import RowRunner

run = RowRunner.run

async def run_or_be_killed(self, row, runner):
    if row == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    await run(self, row, runner)

RowRunner.run = run_or_be_killed
main(sys.argv[1:])
"""


def test_a_map_that_was_killed_goes_on_where_it_was(
    solvable_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGSERVE_TILE_SIDE_PIXELS", "64")
    pixels = patches(1500, 700)
    source = save_raster(tmp_path / "ortho.tif", pixels)
    target = tmp_path / "classes.tif"
    arguments = ["predict", "--model-store", str(solvable_store), "-m", "solvable"]
    arguments += [str(source), "-o", str(target)]
    killed = subprocess.run(
        [sys.executable, "-c", IS_KILLED_IN_THE_FIFTH_ROW, *arguments],
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".segserve-map-*/classes-*.tif"))) == 4
    assert not target.exists()
    assert main(arguments) == 0
    np.testing.assert_array_equal(class_map_of(target), solve(pixels))
    assert list(tmp_path.glob(".segserve-map-*")) == []
