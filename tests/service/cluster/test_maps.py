"""One raster on a real Ray cluster of several nodes on this machine."""

from pathlib import Path

import numpy as np
import pytest

from tests.service.cluster.nodes import RayCluster, said, segserve, wait_long
from tests.service.maps.rasters import class_map_of, patches, save_raster
from tests.solvable import solve

pytestmark = pytest.mark.cluster


def test_a_lost_node_costs_a_map_its_rows_alone(
    ray_cluster: RayCluster,
    openvino_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEGSERVE_TILE_SIDE_PIXELS", "128")
    nodes = [ray_cluster.add(1), ray_cluster.add(1)]
    pixels = patches(6000, 300)
    source = save_raster(tmp_path / "scene.tif", pixels)
    target = tmp_path / "classes.tif"
    run = segserve(
        "predict", source, "-o", target, "--polygons", "gpkg", "-m", "solvable",
        "--model-store", openvino_store, "--ray", ray_cluster.address,
    )  # fmt: skip
    rows = ".segserve-map-*/classes-*.tif"
    wait_long(lambda: len(list(tmp_path.glob(rows))) >= 2 or run.poll() is not None, "two rows")
    assert run.poll() is None
    ray_cluster.kill(nodes[0])
    code, shown, told = said(run)
    assert (code, shown) == (0, "1 written, 0 skipped because they were there, 0 failed"), told
    np.testing.assert_array_equal(class_map_of(target), solve(pixels))
    assert target.with_suffix(".gpkg").is_file()
    assert not list(tmp_path.glob(".segserve-map-*"))
