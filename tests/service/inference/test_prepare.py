"""What the network sees of a file: at which size, from which samples."""

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from models.contract import Contract, FrameScale, NativeScale, PercentileIntensity, PhysicalScale
from models.contract.intensity import IntensityWindow, full_window
from service.domain.requests import IntensityRequest, ScaleRequest
from service.domain.source import Source, SourceInfo
from service.inference.prepare import plan_size, prepare
from service.inputs import open_source
from tests.solvable import contract_with

LIMIT = 10_000_000
AUTO = ScaleRequest()


def jpeg(height: int, width: int, orientation: int = 1) -> bytes:
    """A blue picture."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (width, height), (0, 0, 255)).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def deep_png(samples: np.ndarray[Any, np.dtype[np.uint16]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG")
    return file.getvalue()


def sizes(source: Source, model: Contract, request: ScaleRequest = AUTO) -> tuple[int, int] | None:
    working = plan_size(source, model, request, show=False)
    return None if working is None else (working.height, working.width)


def test_a_photograph_is_shrunk_to_about_the_long_side_of_training() -> None:
    model = contract_with(scale=FrameScale(long_side=480))
    assert sizes(open_source(jpeg(1440, 1920), LIMIT), model) == (360, 480)
    assert sizes(open_source(jpeg(2000, 1500, orientation=6), LIMIT), model) == (375, 500)
    assert sizes(open_source(jpeg(360, 480), LIMIT), model) is None
    assert sizes(open_source(jpeg(450, 600), LIMIT), model) is None
    assert sizes(open_source(jpeg(90, 120), LIMIT), model) is None  # never enlarged unasked


@pytest.mark.parametrize("model", [contract_with(), contract_with(scale=NativeScale())])
def test_without_a_scale_pixels_stay_as_they_are(model: Contract) -> None:
    assert sizes(open_source(jpeg(1440, 1920), LIMIT), model) is None


def test_a_caller_s_scale_goes_before_the_model_s() -> None:
    model = contract_with(scale=FrameScale(long_side=480))
    source = open_source(jpeg(300, 400), LIMIT)
    assert sizes(source, model, ScaleRequest.parse("native")) is None
    assert sizes(source, model, ScaleRequest.parse("0.5")) == (150, 200)
    assert sizes(source, model, ScaleRequest.parse("longest=800")) == (600, 800)


def test_pixels_of_a_known_size_are_brought_to_the_model_s() -> None:
    model = contract_with(scale=PhysicalScale(pixel_size=0.5, unit="µm"))
    source = open_source(deep_png(np.zeros((100, 200), np.uint16)), LIMIT)
    assert sizes(source, model) is None  # it does not say
    source.info = SourceInfo(pixel_size=0.000125, unit="mm")
    assert sizes(source, model) == (25, 50)
    source.info = SourceInfo(pixel_size=2.0, unit="µm")
    assert sizes(source, model) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_shown_is_the_whole_picture_however_it_is_turned(orientation: int) -> None:
    model = contract_with(scale=FrameScale(long_side=64))
    source = open_source(jpeg(333, 479, orientation), LIMIT)
    working = plan_size(source, model, AUTO, show=True)
    assert working is not None
    prepared = prepare(source, model, working, IntensityRequest(), show=True)
    assert prepared.shown is not None
    assert prepared.shown.shape == (source.height, source.width, 3)
    assert prepared.image.shape == (working.height, working.width, 3)
    assert max(prepared.image.shape) == 64


@pytest.mark.parametrize("long_side", [60, 100, 150, 333])
def test_what_is_decoded_small_is_what_the_whole_gives_shrunk(long_side: int) -> None:
    model = contract_with(scale=FrameScale(long_side=long_side))
    body = jpeg(1001, 751)
    small, whole = open_source(body, LIMIT), open_source(body, LIMIT)
    working = plan_size(small, model, AUTO, show=False)
    assert working is not None
    found = prepare(small, model, working, IntensityRequest(), show=False)
    assert found.image.shape == (working.height, working.width, 3)
    assert found.shown is None
    shown = plan_size(whole, model, AUTO, show=True)
    assert shown is not None
    assert math.isclose(max(shown.height, shown.width), long_side, abs_tol=1)


def test_deep_samples_are_spread_by_the_picture_s_percentiles() -> None:
    ramp = np.linspace(200, 3000, 100 * 100).astype(np.uint16).reshape(100, 100)
    model = contract_with(intensity=PercentileIntensity())
    prepared = prepare(
        open_source(deep_png(ramp), LIMIT), model, None, IntensityRequest(), show=False
    )
    assert prepared.window == IntensityWindow(202, 2997)
    assert (prepared.image[0, 0, 0], prepared.image[-1, -1, 0]) == (0, 255)
    assert abs(int(prepared.image[50, 0, 0]) - 128) <= 1


def test_a_model_of_format_1_sees_the_upper_bits() -> None:
    ramp = np.linspace(0, 65_535, 256 * 4).astype(np.uint16).reshape(4, 256)
    prepared = prepare(
        open_source(deep_png(ramp), LIMIT), contract_with(), None, IntensityRequest(), show=False
    )
    assert prepared.window == full_window(16)
    assert np.abs(prepared.image[..., 0].astype(int) - (ramp >> 8)).max() <= 1


def test_a_caller_can_name_the_window() -> None:
    samples = np.full((8, 8), 1000, np.uint16)
    model = contract_with(intensity=PercentileIntensity())
    source = open_source(deep_png(samples), LIMIT)
    prepared = prepare(source, model, None, IntensityRequest.parse("500,1500"), show=False)
    assert prepared.window == IntensityWindow(500, 1500)
    assert prepared.image[0, 0, 0] == 128


def test_void_does_not_count_for_the_percentiles() -> None:
    samples = np.zeros((40, 40), np.uint16)
    samples[:20] = np.arange(1000, 1800).reshape(20, 40)
    source = open_source(deep_png(samples), LIMIT)
    valid = np.zeros((40, 40), np.bool_)
    valid[:20] = True
    source.info = SourceInfo(valid=valid)
    model = contract_with(intensity=PercentileIntensity())
    prepared = prepare(source, model, None, IntensityRequest(), show=False)
    assert prepared.window == (1000, 1799)


def test_eight_bits_stay_as_they_are() -> None:
    model = contract_with(intensity=PercentileIntensity())
    source = open_source(jpeg(16, 16), LIMIT)
    prepared = prepare(source, model, None, IntensityRequest(), show=False)
    assert prepared.window is None
    assert prepared.image[0, 0, 2] > 250
