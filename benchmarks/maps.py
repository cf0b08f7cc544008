"""Question: what does a map of a gigapixel take?

    .venv/bin/python -m benchmarks.maps [street] [dense] [growth] [polygons] [resume]  (8 minutes)

Rasters are made here, in UTM, most of them sparse: void blocks are not stored. `street`: a raster
of one gigapixel of which a sixteenth is a picture, by the bundled street model, and after it a PNG
of 10 megapixels by the same engine at its own scale; rates are of all of the raster's pixels, and
of the picture's alone. `dense`: the picture without the void. `growth`: the same picture within
four gigapixels. `--side` makes rasters smaller (of 16,384 pixels a side: a quarter of the time),
and keeps the results beside those of full size, under names with it. `polygons`: 100 megapixels
with about 200,000 regions. `resume`: shapes of known size, killed in the middle and resumed,
against an unbroken run, and their areas against an azimuthal equal-area projection of their own.
Each in a process of its own, whose memory is its highest resident set above that after the model
was loaded and warmed up.
"""

import argparse
import asyncio
import io
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import rasterio
import rasterio.features
import shapely
import shapely.affinity
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine
from rasterio.warp import transform
from rasterio.windows import Window

from benchmarks.measuring import Run, begin, choice_of
from models.contract import Contract, SegmentationClass
from service.domain.source import SourceInfo
from service.maps.job import MapSummary, predict_raster
from service.maps.options import MapOptions
from service.outputs.geo.geopackage import write_geopackage
from service.outputs.geo.regions import find_regions
from service.outputs.geo.shapes import shapes_of
from service.outputs.png import PNG, PngOptions
from service.predict.loaded import LoadedModel
from service.predict.model import pin_model
from service.settings import Settings

STREET = Path(__file__).parent.parent / "docs" / "images" / "street.jpg"
UTM = "EPSG:32633"
PIXEL = 0.1
PLACE = Affine(PIXEL, 0, 389_000.0, 0, -PIXEL, 5_820_000.0)
BLOCK = 512
SIDE, SMALL_SIDE = 32_768, 2_048
PNG_SIZE = 2_739, 3_651
REGIONS_SIDE, CELL = 10_000, 22
SHARE_RUNS = 5  # from one to the next reading and writing differ by a sixth
NAMES = ("street", "dense", "growth", "polygons", "resume")


def main() -> None:
    """Measure, print, and keep the result beside those of parts that are not asked for."""
    run = begin(__doc__, add_arguments=_add_arguments)
    kept = run.results / "maps.json"
    result = json.loads(kept.read_text())["parts"] if kept.exists() else {}
    side = run.given.side or (SMALL_SIDE if run.quick else SIDE)
    with tempfile.TemporaryDirectory(prefix="segserve-maps-") as folder:
        for name in run.given.names or NAMES:
            title = f"{name} {side}" if run.given.side else name
            result[title] = _alone(PARTS[name], Path(folder), side, run)
            run.write("maps", {"parts": result})


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    choice_of(NAMES)(parser)
    parser.add_argument("--side", type=int, help=f"of rasters, in pixels (default: {SIDE})")


def _alone(part: Callable[[Path, int, Run], Any], folder: Path, side: int, run: Run) -> Any:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(part, folder, side, run).result()


def street(folder: Path, side: int, _run: Run) -> dict[str, Any]:
    source = _street_raster(folder / "street.tif", side, side // 4)
    return asyncio.run(_by_street(folder, source, side, in_turn_with_png=True))


def dense(folder: Path, side: int, _run: Run) -> dict[str, Any]:
    source = _street_raster(folder / "dense.tif", side // 4, side // 4)
    return asyncio.run(_by_street(folder, source, side, in_turn_with_png=True))


def growth(folder: Path, side: int, _run: Run) -> dict[str, Any]:
    source = _street_raster(folder / "large.tif", 2 * side, side // 4)
    return asyncio.run(_by_street(folder, source, side, in_turn_with_png=False))


async def _by_street(
    folder: Path, source: Path, side: int, *, in_turn_with_png: bool
) -> dict[str, Any]:
    pinned = pin_model(Settings(), "street")
    model = LoadedModel(pinned)
    await model.load()
    png = _png() if in_turn_with_png else b""
    options = PngOptions(scale="native")

    async def seconds_of_png() -> float:
        began = time.perf_counter()
        await model.segment(png, PNG, options, "picture.png")
        return time.perf_counter() - began

    async def made(of: Path) -> MapSummary:
        targets = {"geotiff": folder / "classes.tif"}
        return await predict_raster(
            model.inference, pinned.id, of, targets, MapOptions(), work=folder / "work"
        )

    await made(_street_raster(folder / "warm.tif", BLOCK, BLOCK))
    idle = _reset_highest()
    summary = await made(source)
    highest = _highest()
    # after it: what the engine keeps of a large picture would count as idle
    pngs = [await seconds_of_png() for _ in range(4)][1:] if png else []
    runs = [summary] + [await made(source) for _ in range(SHARE_RUNS - 1 if png else 0)]
    await model.close()
    whole, picture = summary.height * summary.width / 1e6, (side // 4) ** 2 / 1e6
    result: dict[str, Any] = {
        "megapixels": whole,
        "picture_megapixels": picture,
        "seconds": summary.seconds,
        "megapixels_a_second": whole / summary.seconds,
        "picture_megapixels_a_second": picture / summary.seconds,
        "peak_megabytes_above_idle": (highest - idle) / 1e6,
        "idle_megabytes": idle / 1e6,
        "cores_busy": summary.cpu_seconds / summary.seconds,
        "read_shares": [run.read_cpu_seconds / run.cpu_seconds for run in runs],
        "write_shares": [run.write_cpu_seconds / run.cpu_seconds for run in runs],
        "tiles": summary.tiles,
    }
    if pngs:
        own = PNG_SIZE[0] * PNG_SIZE[1] / 1e6
        result["png_seconds_a_megapixel"] = [seconds / own for seconds in pngs]
        per_second = own / statistics.median(pngs)
        result["rate_over_png"] = whole / summary.seconds / per_second
        result["picture_rate_over_png"] = picture / summary.seconds / per_second
    return result


def polygons(folder: Path, side: int, _run: Run) -> dict[str, Any]:
    extent = REGIONS_SIDE if side == SIDE else REGIONS_SIDE // 10
    class_map = _many_regions(extent)
    info = _info()
    began, idle = time.perf_counter(), _reset_highest()
    rows = max(64, 2**25 // extent)
    strips = (class_map[top : top + rows] for top in range(0, extent, rows))
    shapes = shapes_of(find_regions(strips, frozenset(range(10))), info, 0, 0)
    path = folder / "regions.gpkg"
    write_geopackage(path, shapes, info, _ten_classes(), [], (extent, extent))
    seconds, highest = time.perf_counter() - began, _highest()
    import sqlite3

    file = sqlite3.connect(path)
    (count,) = file.execute("SELECT count(*) FROM regions").fetchone()
    file.close()
    return {
        "megapixels": extent**2 / 1e6,
        "regions": count,
        "seconds": seconds,
        "peak_megabytes_above_map": (highest - idle) / 1e6,
        "file_megabytes": path.stat().st_size / 1e6,
    }


def resume(folder: Path, side: int, _run: Run) -> dict[str, Any]:
    folder = folder / "resume"
    folder.mkdir()
    store = folder / "store"
    from tests.solvable import save_solvable_model  # brings TensorFlow

    save_solvable_model(store, with_openvino=True)
    source, truths = _shapes_raster(folder / "shapes.tif", side)
    unbroken, target = folder / "unbroken.tif", folder / "classes.tif"
    command = [sys.executable, "-m", "service.cli", "predict", "--model-store", str(store)]
    command += [str(source), "--polygons", "gpkg", "-o"]
    subprocess.run([*command, str(unbroken)], check=True, capture_output=True)
    began = subprocess.Popen(
        [*command, str(target)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    pattern = ".segserve-map-*/classes-*.tif"
    while len(list(folder.glob(pattern))) < 2 and began.poll() is None:
        time.sleep(0.01)
    began.send_signal(signal.SIGKILL)
    began.wait()
    rows = len(list(folder.glob(pattern)))
    was_there = target.exists()
    subprocess.run([*command, str(target)], check=True, capture_output=True)
    found = _areas(folder / "classes.gpkg")
    return {
        "megapixels": side**2 / 1e6,
        "rows_kept_of_the_killed_run": rows,
        "map_there_after_the_kill": was_there,
        "equals_unbroken": target.read_bytes() == unbroken.read_bytes(),
        "area_errors": [
            abs(area - truth) / truth for area, truth in zip(found, truths, strict=True)
        ],
    }


PARTS: dict[str, Callable[[Path, int, Run], Any]] = {
    "street": street,
    "dense": dense,
    "growth": growth,
    "polygons": polygons,
    "resume": resume,
}


def _new_raster(path: Path, side: int) -> Any:
    return rasterio.open(
        path, "w", driver="GTiff", height=side, width=side, count=3, dtype="uint8", crs=UTM,
        transform=PLACE, nodata=0, tiled=True, blockxsize=BLOCK, blockysize=BLOCK,
        compress="deflate", zlevel=1, photometric="RGB", sparse_ok=True, bigtiff="IF_SAFER",
    )  # fmt: skip


def _street_raster(path: Path, side: int, picture: int) -> Path:
    """A photograph again and again within `picture` pixels of a side, amid void."""
    with Image.open(STREET) as opened:
        photograph = np.asarray(opened.convert("RGB")).clip(1)
    height, width = photograph.shape[:2]
    first = (side - picture) // 2 // BLOCK * BLOCK
    with _new_raster(path, side) as dataset:
        for top in range(0, picture, BLOCK):
            rows = np.arange(top, top + BLOCK) % height
            for left in range(0, picture, BLOCK):
                columns = np.arange(left, left + BLOCK) % width
                part = np.moveaxis(photograph[rows][:, columns], -1, 0)
                window = Window(first + left, first + top, BLOCK, BLOCK)
                dataset.write(np.ascontiguousarray(part), window=window)
    return path


def _shapes_raster(path: Path, side: int) -> tuple[Path, list[float]]:
    """A green square and a blue disc on red ground amid void, and their areas in m²."""
    half = side * PIXEL / 2
    center = PLACE @ (side / 2, side / 2)
    ground = shapely.affinity.rotate(shapely.Point(center).buffer(half * 0.9, quad_segs=1), 11)
    square = shapely.affinity.rotate(
        shapely.box(*(np.array(center) - half * 0.42), *(np.array(center) - half * 0.08)), 17
    )
    disc = shapely.Point(np.array(center) + half * 0.25).buffer(half * 0.15, quad_segs=180)
    assert ground.contains(square)
    assert ground.contains(disc)
    draws = [(ground, 1), (square, 2), (disc, 3)]
    colors = np.array([[0, 0, 0], [250, 1, 1], [1, 250, 1], [1, 1, 250]], np.uint8)
    with _new_raster(path, side) as dataset:
        for top in range(0, side, BLOCK):
            for left in range(0, side, BLOCK):
                place = PLACE @ Affine.translation(left, top)
                ids = rasterio.features.rasterize(draws, (BLOCK, BLOCK), transform=place)
                if ids.any():
                    window = Window(left, top, BLOCK, BLOCK)
                    dataset.write(np.moveaxis(colors[ids], -1, 0), window=window)
    own = [_true_area(shape) for shape in (ground, square, disc)]
    return path, [own[0] - own[1] - own[2], own[1], own[2]]


def _true_area(shape: shapely.Polygon) -> float:
    x, y = np.array(shapely.segmentize(shape, 20.0).exterior.coords).T
    longitude, latitude = transform(UTM, "EPSG:4326", [x.mean()], [y.mean()])
    own = f"+proj=laea +lat_0={latitude[0]} +lon_0={longitude[0]} +ellps=WGS84"
    area: float = shapely.Polygon(np.stack(transform(UTM, own, x, y), axis=-1)).area
    return area


def _areas(path: Path) -> list[float]:
    import sqlite3

    file = sqlite3.connect(path)
    rows = file.execute("SELECT area_m2 FROM classes ORDER BY class_id").fetchall()
    sums = file.execute("SELECT sum(area_m2) FROM regions GROUP BY class_id").fetchall()
    file.close()
    assert np.allclose(rows, sums, rtol=1e-4)
    return [area for (area,) in rows]


def _many_regions(side: int) -> NDArray[np.uint8]:
    """Blobs of nine classes, one a cell of CELL pixels, on ground of a tenth."""
    draw = np.random.default_rng(0)
    cells = side // CELL
    rows, columns = np.mgrid[:CELL, :CELL] - CELL / 2 + 0.5
    angle, radius = np.arctan2(rows, columns), np.hypot(rows, columns)
    blobs = np.array(
        [
            radius < 6 + 3 * np.sin(draw.integers(2, 6) * angle + draw.uniform(0, 6))
            for _ in range(64)
        ]
    )
    class_map = np.zeros((side, side), np.uint8)
    for row in range(cells):
        chosen = blobs[draw.integers(0, 64, cells)] * draw.integers(1, 10, cells)[:, None, None]
        top = row * CELL
        line = chosen.transpose(1, 0, 2).reshape(CELL, cells * CELL)
        class_map[top : top + CELL, : cells * CELL] = line
    return class_map


def _info() -> SourceInfo:
    from rasterio.crs import CRS

    a, b, c, d, e, f = tuple(PLACE)[:6]
    return SourceInfo(transform=(a, b, c, d, e, f), reference=CRS.from_string(UTM).to_wkt())


def _ten_classes() -> Contract:
    classes = tuple(
        SegmentationClass(id=i, name=f"class {i}", color=f"#{25 * i:02x}4080") for i in range(10)
    )
    return Contract(
        name="ten", classes=classes, channels=3, stride=8, receptive_field_radius=5,
        architecture="none", upsampling="none", parameters=1, files={},
    )  # fmt: skip


def _png() -> bytes:
    with Image.open(STREET) as opened:
        photograph = np.asarray(opened.convert("RGB"))
    rows = np.arange(PNG_SIZE[0]) % photograph.shape[0]
    columns = np.arange(PNG_SIZE[1]) % photograph.shape[1]
    file = io.BytesIO()
    Image.fromarray(photograph[rows][:, columns]).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _reset_highest() -> int:
    """Bytes that are resident now; the highest mark begins with them."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _highest() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
