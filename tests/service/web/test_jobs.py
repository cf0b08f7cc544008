"""What is too large for a request, or lies on the Earth, on the page: a job with a card."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.service.maps.rasters import patches, save_raster
from tests.service.serving import ServerThread, picture, png_bytes, serving
from tests.service.web.visit import Visit
from tests.solvable import solve

MAX_UPLOAD_BYTES = 50_000
PIXELS = patches(300, 400, side=40)


@pytest.fixture(scope="module")
def server(
    openvino_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    folder = tmp_path_factory.mktemp("jobs")
    with serving(
        openvino_store,
        job_folder=folder,
        job_priority="normal",
        max_upload_bytes=MAX_UPLOAD_BYTES,
        max_batch_upload_bytes=10**7,
    ) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, server: ServerThread) -> Iterator[Visit]:
    with Visit.begin(browser, server.url) as visit:
        visit.open("/")
        yield visit


def geotiff(folder: Path) -> bytes:
    return save_raster(folder / "ortho.tif", PIXELS).read_bytes()


def test_a_raster_shows_its_overview_areas_and_downloads(
    visit: Visit, tmp_path: Path, screenshots: Path
) -> None:
    visit.drop(geotiff(tmp_path), "ortho.tif", "image/tiff")
    card = visit.page.locator(".job")
    expect(card.locator(".job-words")).to_contain_text("Done by solvable/1, 400 × 300 pixels")
    expect(card.locator("img")).to_be_visible()
    rows = card.locator(".job-classes li")
    names = rows.locator(".name").all_text_contents()
    shares = dict(zip(names, rows.locator(".share").all_text_contents(), strict=True))
    areas = dict(zip(names, rows.locator(".area").all_text_contents(), strict=True))
    classes = solve(PIXELS)
    for class_id, name in enumerate(("red", "green", "blue")):
        count = int((classes == class_id).sum())
        assert shares[name] == f"{100 * count / classes.size:.1f} %"
        area = float(areas[name].removesuffix(" m²").replace(",", ""))
        assert area == pytest.approx(count * 0.25, rel=0.002)
    visit.page.screenshot(path=screenshots / "job.png")
    with visit.page.expect_download() as pending:
        card.get_by_role("button", name="GeoTIFF").click()
    assert pending.value.suggested_filename == "ortho.classes.tif"
    with rasterio.open(io.BytesIO(pending.value.path().read_bytes())) as dataset:
        np.testing.assert_array_equal(dataset.read(1), classes)
    with visit.page.expect_download() as pending:
        card.get_by_role("button", name="GeoJSON").click()
    regions = json.loads(pending.value.path().read_bytes())["features"]
    assert {one["properties"]["class"] for one in regions} >= {"red", "green", "blue"}
    expect(visit.page.locator("#workbench")).to_be_hidden()
    visit.open("/")  # it is still there
    expect(card.locator("img")).to_be_visible()
    card.get_by_role("button", name="Remove").click()
    expect(visit.page.locator("#jobs")).to_be_hidden()
    visit.open("/")
    expect(visit.page.locator("#welcome")).to_be_visible()
    expect(card).to_have_count(0)


def test_a_large_photograph_becomes_a_job_and_a_small_one_does_not(visit: Visit) -> None:
    large, small = picture(200, 300), picture(20, 30)
    assert len(png_bytes(large)) > MAX_UPLOAD_BYTES
    visit.choose(("large.png", png_bytes(large)), ("small.png", png_bytes(small)))
    visit.wait_for_classes()
    card = visit.page.locator(".job")
    expect(card.locator(".job-words")).to_contain_text("Done by")
    with visit.page.expect_download() as pending:
        card.get_by_role("button", name="PNG").click()
    found = np.asarray(Image.open(pending.value.path()))
    np.testing.assert_array_equal(found, solve(large))
    card.get_by_role("button", name="Remove").click()


def test_a_job_at_work_says_how_far_it_is_and_is_cancelled(
    browser: Browser,
    openvino_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    screenshots: Path,
) -> None:
    monkeypatch.setattr("service.job_parts.WORKER", "tests.service.jobs.endless_worker")
    with (
        serving(openvino_store, job_folder=tmp_path / "jobs") as server,
        Visit.begin(browser, server.url) as visit,
    ):
        visit.open("/")
        visit.drop(geotiff(tmp_path), "ortho.tif", "image/tiff")
        words = visit.page.locator(".job-words")
        expect(words).to_contain_text("Segmenting, 50 %")
        expect(words).to_contain_text("left")
        visit.page.screenshot(path=screenshots / "job-at-work.png")
        visit.page.get_by_role("button", name="Cancel").click()
        expect(visit.page.locator("#jobs")).to_be_hidden()
        visit.page.wait_for_function(
            "() => fetch('jobs').then((a) => a.json()).then((list) => list.jobs.length === 0)"
        )
