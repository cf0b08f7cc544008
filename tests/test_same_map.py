"""Training and serving see the same pixels of a map: parts of it, by one rule for the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.transform import Affine

from models.contract import PercentileIntensity
from models.contract.preprocessing import Intensity, WindowIntensity
from models.contract.probing import floating_step, looked_at
from models.data.scenes import read_samples, read_scene, windows_of
from service.domain.requests import IntensityRequest
from service.domain.source import Window as ServedWindow
from service.inference.raster_view import View, find_tone
from service.inputs.raster import open_raster
from tests.service.maps.rasters import save_raster
from tests.solvable import contract_of_depth

RULES = [PercentileIntensity(gray=(3, 102), color=(20, 213)), WindowIntensity(low=100, high=3000)]
HEIGHT, WIDTH = 1100, 1400


def deep(dtype: str, bands: int) -> NDArray[Any]:
    """Darker towards the top, so that no part has the percentiles of the whole."""
    draw = np.random.default_rng(bands)
    values = (
        draw.gamma(2, 200, (HEIGHT, WIDTH, bands)) + np.linspace(0, 2000, HEIGHT)[:, None, None]
    )
    return values.astype(dtype)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("dtype", "bands"), [("uint16", 3), ("uint16", 1), ("float32", 3)])
def test_training_and_serving_see_the_same_map(
    dtype: str, bands: int, rule: Intensity, tmp_path: Path
) -> None:
    pixels = deep(dtype, bands)
    valid = np.ones((HEIGHT, WIDTH), np.bool_)
    valid[:300, :500] = False
    pixels[~valid] = 60_000  # none of the percentiles
    path = save_raster(tmp_path / "map.tif", pixels, valid=valid)
    contract = contract_of_depth(bands, rule)
    scene = read_scene(path)
    assert scene is not None
    with open_raster(path) as raster:
        view = View(raster, contract, find_tone(raster, contract, IntensityRequest()), None)
        for window in windows_of(scene):
            served = view.read(ServedWindow(*window))
            learned, depth = read_samples(scene, window, rule)
            assert depth is not None
            part = valid[window.top : window.top + window.height][
                :, window.left : window.left + window.width
            ]
            np.testing.assert_array_equal(learned[part], served[part])


def test_a_large_raster_is_looked_at_from_edge_to_edge() -> None:
    parts = list(looked_at(30_000, 20_000))
    assert len(parts) == 256
    assert {part[2:] for part in parts} == {(96, 96)}
    assert (min(parts)[:2], max(parts)[:2]) == ((0, 0), (30_000 - 96, 20_000 - 96))
    small = list(looked_at(5000, 4000))
    assert sum(height * width for _, _, height, width in small) == 5000 * 4000
    assert floating_step(5000, 4000, 3) == 4


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        (32633, (0.5, 389_000, 5_819_000)),
        (4326, (1e-5, 179.9995, 52)),  # its middle lies on the antimeridian
        (3413, (250_000, -12_600_000, 12_650_000)),  # its middle pixel is around the pole
        (3413, (25_000, -1_275_000, 1_287_500)),
        (3031, (5, 300, 200)),
        (32633, (0.5, 1e15, 5e15)),  # there is no such place
    ],
)
def test_training_and_serving_know_one_size_of_pixels_on_the_ground(
    tmp_path: Path, crs: int, place: tuple[float, float, float]
) -> None:
    size, left, top = place
    grid = Affine(size, 0, left, 0, -size, top)
    ones = np.ones((101, 101, 1), np.uint8)
    path = save_raster(tmp_path / "scene.tif", ones, crs=f"EPSG:{crs}", transform=grid)
    scene = read_scene(path)
    assert scene is not None
    with open_raster(path) as raster:
        served = raster.info.pixel_size
    assert scene.pixel_size == (None if served is None else pytest.approx(served, rel=1e-4))
