"""Training and serving see the same pixels of a map: parts of it, by one rule for the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

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
