"""Jobs that make maps of rasters, over real HTTP."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.errors import RasterioIOError

from service import job_worker
from service.jobs.job import Wish
from service.settings import Settings
from tests.service.jobs.test_jobs import serving, settled
from tests.service.maps.rasters import PLACE, UTM, patches, save_raster
from tests.service.protocols.test_problems import assert_problem
from tests.service.serving import ServerThread
from tests.solvable import solve

TIFF = {"Content-Type": "image/tiff"}
PIXELS = patches(300, 400)


@pytest.fixture(scope="module")
def server(
    openvino_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    """Requests may have fewer pixels than the raster has."""
    folder = tmp_path_factory.mktemp("jobs")
    with serving(
        openvino_store, job_folder=folder, max_image_pixels=10_000, tile_side_pixels=128
    ) as running:
        yield running


def test_a_raster_becomes_a_map_with_areas_and_an_overview(
    server: ServerThread, tmp_path: Path
) -> None:
    valid = np.ones(PIXELS.shape[:2], bool)
    valid[:, :100] = False
    body = save_raster(tmp_path / "ortho.tif", PIXELS, valid=valid).read_bytes()
    made = server.client.post(
        "/jobs?format=geotiff,confidence", files={"image": ("ortho.tif", body, "image/tiff")}
    )
    job = settled(server.client, made.headers["Location"])
    assert job["state"] == "done", job
    answer = server.client.get(job["result"]["url"])
    assert 'filename="ortho.classes.tif"' in answer.headers["Content-Disposition"]
    with rasterio.open(io.BytesIO(answer.content)) as dataset:
        assert dataset.crs.to_string() == UTM
        assert dataset.transform == PLACE
        classes = dataset.read(1)
    expected = np.where(valid, solve(PIXELS), 255)
    np.testing.assert_array_equal(classes, expected)
    found = {one["name"]: one for one in job["result"]["facts"]["classes"]}
    for class_id, name in enumerate(("red", "green", "blue")):
        count = int((expected == class_id).sum())
        assert found[name]["pixels"] == count
        # UTM's own pixels are up to 0.2 % larger or smaller than the ground's
        assert found[name]["area_m2"] == pytest.approx(count * 0.25, rel=0.002)
    drawn = server.client.get(job["result"]["overview"])
    overview = Image.open(io.BytesIO(drawn.content))
    assert overview.size == (400, 300)
    pixels = np.asarray(overview)
    np.testing.assert_array_equal(pixels[..., 3] > 0, valid)
    strongest = pixels[:, 100:, :3].argmax(axis=-1)
    assert (strongest == solve(PIXELS)[:, 100:]).mean() > 0.9
    more = server.client.get(job["result"]["more"]["confidence"])
    with rasterio.open(io.BytesIO(more.content)) as dataset:
        assert dataset.shape == (300, 400)
    side = server.client.get(job["result"]["more"]["aux.xml"])
    assert 'filename="ortho.classes.tif.aux.xml"' in side.headers["Content-Disposition"]
    kept = tmp_path / "ortho.classes.tif"
    kept.write_bytes(answer.content)
    Path(f"{kept}.aux.xml").write_bytes(side.content)
    with rasterio.open(kept) as dataset:
        assert "<Category>green</Category>" in side.text
        assert dataset.colormap(1)[1] == (0x43, 0xA0, 0x47, 255)
    sizes = map(len, (answer.content, more.content, side.content, drawn.content))
    assert server.metric("segserve_job_folder_bytes") == sum(sizes)
    unknown = server.client.get(f"{job['url']}/result?format=rle")
    assert "geotiff, confidence, aux.xml" in assert_problem(unknown, "invalid-option")


def test_what_is_no_raster_fails_and_options_are_those_of_maps(server: ServerThread) -> None:
    made = server.client.post("/jobs?format=geotiff", content=b"no raster", headers=TIFF)
    job = settled(server.client, made.headers["Location"])
    assert job["problem"]["status"] in (415, 422)
    stray = server.client.post("/jobs?format=geotiff&alpha=1", content=b"x", headers=TIFF)
    assert "bbox" in assert_problem(stray, "malformed-request")
    box = server.client.post("/jobs?format=geotiff&bbox=1,2", content=b"x", headers=TIFF)
    assert "left,bottom,right,top" in assert_problem(box, "malformed-request")


def test_a_map_that_is_made_is_not_made_again_for_its_overview(
    openvino_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_raster(tmp_path / "upload", PIXELS)
    wish = Wish(model="solvable/1", format="geotiff", options={})
    order = {"folder": str(tmp_path), "request_id": "r", "wish": wish.model_dump()}

    def full(*_: object) -> None:
        raise RasterioIOError("Write failed.")

    async def made_twice() -> tuple[dict[str, Any], dict[str, Any]]:
        worker = job_worker.Worker(Settings(model_store=openvino_store), lambda _: None)
        with monkeypatch.context() as patched:
            patched.setattr(job_worker, "write_overview", full)
            failed = await worker.do(order)
            patched.setattr("service.domain.disk.shutil.disk_usage", lambda _: Mock(free=4096))
            assert (await worker.do(order))["problem"]["type"].endswith(":job-folder-full")
        monkeypatch.setattr(job_worker, "predict_raster", full)
        done = await worker.do(order)
        await worker.close()
        return failed, done

    failed, done = asyncio.run(made_twice())
    assert failed["problem"]["type"].endswith(":job-folder-unusable")
    assert done["event"] == "done"
    assert done["result"]["facts"]["classes"]
    with rasterio.open(tmp_path / "result.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), solve(PIXELS))


def test_a_map_goes_on_at_its_row_when_its_process_is_lost(
    openvino_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = save_raster(tmp_path / "ortho.tif", PIXELS).read_bytes()
    monkeypatch.setattr("service.job_parts.WORKER", "tests.service.jobs.dying_worker")
    with serving(openvino_store, job_folder=tmp_path / "jobs", tile_side_pixels=64) as server:
        made = server.client.post("/jobs?format=geotiff", content=body, headers=TIFF)
        job = settled(server.client, made.headers["Location"])
        assert job["state"] == "done", job
        facts = job["result"]["facts"]
        assert facts["rows"] > facts["resumed_rows"] > 1
        answer = server.client.get(job["result"]["url"])
    with rasterio.open(io.BytesIO(answer.content)) as dataset:
        np.testing.assert_array_equal(dataset.read(1), solve(PIXELS))
    assert (tmp_path / "jobs" / "died").exists()
