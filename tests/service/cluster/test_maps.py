"""One raster on a real Ray cluster of several nodes on this machine."""

import os
import signal
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


def test_a_map_of_whose_cluster_no_node_is_left_ends_and_says_so(
    openvino_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed; requirements/dev.txt has it")
    monkeypatch.setenv("SEGSERVE_TILE_SIDE_PIXELS", "128")
    monkeypatch.setenv("RAY_ADDRESS", "local")  # a cluster of its own
    source, target = save_raster(tmp_path / "scene.tif", patches(6000, 300)), tmp_path / "map.tif"
    run = segserve(
        "predict", source, "-o", target, "-m", "solvable", "--model-store", openvino_store, "--ray",
    )  # fmt: skip
    rows = ".segserve-map-*/classes-*.tif"
    wait_long(lambda: len(list(tmp_path.glob(rows))) >= 2 or run.poll() is not None, "two rows")
    (node,) = [child for child in children_of(run.pid) if name_of(child) == "raylet"]
    workers = [child for child in children_of(node) if name_of(child).startswith("ray::RowMaker")]
    assert workers
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # or they might have done all before they notice
    os.kill(node, signal.SIGKILL)
    code, _, told = said(run)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert code == 2
    assert "no node of the cluster is left" in told
    assert "run the same command again to resume" in told
    assert not target.exists()


def children_of(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]


def name_of(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text().strip()
