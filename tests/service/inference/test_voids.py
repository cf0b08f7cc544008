"""What a network sees in place of voids."""

from pathlib import Path

import numpy as np
import pytest

from models.contract import Contract, SegmentationClass
from service.domain.requests import IntensityRequest
from service.inference.raster_view import find_tone
from service.inference.voids import MIRRORED, fill_voids
from service.inputs.raster import Raster, open_raster
from tests.service.maps.rasters import patches, save_raster

MEAN = np.array([10, 20, 30], np.uint8)


@pytest.mark.parametrize("is_upright", [True, False])
def test_a_straight_edge_is_mirrored_as_a_ragged_one_is(is_upright: bool) -> None:
    pixels = patches(200, 300, side=1)
    valid = np.zeros((200, 300), np.bool_)
    valid[20:, 160:] = True
    ragged = valid.copy()
    ragged[199, 170] = False
    if not is_upright:
        pixels, valid, ragged = pixels.swapaxes(0, 1), valid.T, ragged.T
    filled = [pixels.copy(), pixels.copy()]
    fill_voids(filled[0], valid, MEAN)
    fill_voids(filled[1], ragged, MEAN)
    if not is_upright:
        pixels, filled = pixels.swapaxes(0, 1), [each.swapaxes(0, 1) for each in filled]
    straight = filled[0][20:]
    np.testing.assert_array_equal(straight[:160], filled[1][20:180])
    np.testing.assert_array_equal(straight[:, 160:], pixels[20:, 160:])
    np.testing.assert_array_equal(straight[:, 160 - MIRRORED : 160], pixels[20:, 287:159:-1])
    assert (straight[:, : 160 - MIRRORED] == MEAN).all()


@pytest.mark.parametrize("is_upright", [True, False])
def test_each_end_of_a_picture_amid_void_is_filled_as_if_it_were_alone(is_upright: bool) -> None:
    pixels, valid = patches(60, 1200, side=1), np.zeros((60, 1200), np.bool_)
    valid[:, 200:1000] = True
    valid[10:20, 150:200] = True
    halves: list[tuple[slice, slice]] = [np.s_[:, :600], np.s_[:, 600:]]
    if not is_upright:
        pixels, valid = pixels.swapaxes(0, 1), valid.T
        halves = [(columns, rows) for rows, columns in halves]
    whole = pixels.copy()
    fill_voids(whole, valid, MEAN)
    for half in halves:
        alone = pixels[half].copy()
        fill_voids(alone, valid[half], MEAN)
        np.testing.assert_array_equal(whole[half], alone)


def test_nothing_is_read_of_8_bits_before_there_is_a_void_to_fill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.full((300, 400, 3), 7, np.uint8)
    pixels[:, :100] = 0
    with open_raster(save_raster(tmp_path / "scene.tif", pixels, nodata=0)) as raster:
        with monkeypatch.context() as patched:
            patched.delattr(Raster, "read")
            tone = find_tone(raster, CONTRACT, IntensityRequest("auto"))
        assert tone.window is None
        assert tone.mean.tolist() == [7, 7, 7]


CONTRACT = Contract(
    name="two",
    classes=tuple(SegmentationClass(id=i, name=str(i), color=f"#0000{i:02x}") for i in range(2)),
    channels=3,
    stride=8,
    receptive_field_radius=5,
    architecture="none",
    upsampling="none",
    parameters=1,
    files={},
)
