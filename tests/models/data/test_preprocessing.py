"""What a data set says of the pictures that its network is to see."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.cli import main
from models.contract.intensity import IntensityWindow
from models.contract.preprocessing import (
    FrameScale,
    NativeScale,
    PercentileIntensity,
    PhysicalScale,
    Scale,
    read_scale,
)
from models.data.dataset import read_image
from models.data.examination import examine
from models.data.fingerprint import Fingerprint
from models.data.preprocessing import preprocessing_of, scale_of
from models.data.reading import read_dataset
from tests.models.conftest import write_dataset

STREETS = Fingerprint(
    images=300,
    size=(360, 480),
    channels=3,
    class_pixels=np.array([5, 5]),
    object_side=12.0,
    thinnest=20.0,
    up_down=0.86,
    left_right=0.06,
    up_down_t=90.0,
)
ALIKE = np.full(300, 480)
MANY = np.repeat([256, 480, 1000], 100)
# as the photographs of pets have it
PETS = replace(STREETS, up_down=0.07, up_down_t=7.3, growth=0.84, growth_error=0.18)


@pytest.mark.parametrize(
    ("found", "long_sides", "scale", "reason"),
    [
        (STREETS, ALIKE, FrameScale(long_side=480), "one kind of frame"),
        (STREETS, np.append(ALIKE, [1000] * 5), FrameScale(long_side=480), "one kind of frame"),
        (STREETS, MANY, NativeScale(), "256 to 1000 pixels"),
        (PETS, MANY, FrameScale(long_side=480), "larger objects where they are larger"),
        (replace(PETS, growth=0.4), MANY, NativeScale(), "256 to 1000 pixels"),
        (replace(PETS, growth_error=0.5), MANY, NativeScale(), "256 to 1000 pixels"),
        (replace(PETS, up_down=0.01), MANY, NativeScale(), "256 to 1000 pixels"),
        (replace(PETS, thinnest=3.9), MANY, NativeScale(), "3.9 pixels wide"),
        (replace(STREETS, up_down=0.1), ALIKE, NativeScale(), "no up from down"),
        (replace(STREETS, thinnest=3.9), ALIKE, NativeScale(), "3.9 pixels wide"),
    ],
    ids=[
        "streets",
        "few others",
        "many sizes",
        "photographs",
        "objects alike in pixels",
        "not sure",
        "cells at two magnifications",
        "thin in photographs",
        "tiles",
        "thin",
    ],
)
def test_the_scale_goes_by_sizes_and_classes(
    found: Fingerprint,
    long_sides: np.ndarray[tuple[int], np.dtype[np.int64]],
    scale: Scale,
    reason: str,
) -> None:
    decided, why = scale_of(found, long_sides)
    assert decided == scale
    assert reason in why


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("auto", None),
        ("native", NativeScale()),
        ("longest=480", FrameScale(long_side=480)),
        ("0.5 µm", PhysicalScale(pixel_size=0.5, unit="µm")),
        ("0.25um", PhysicalScale(pixel_size=0.25, unit="µm")),
        ("2m", PhysicalScale(pixel_size=2, unit="m")),
    ],
)
def test_a_recipe_says_a_scale_in_each_way(text: str, scale: Scale | None) -> None:
    assert read_scale(text) == scale
    if scale is not None:
        assert read_scale(scale.text) == scale


@pytest.mark.parametrize(
    "text",
    ["", "0.5", "longest=", "longest=3", "longest=99999999", "0 m", "-1 mm", "1e999 m", "5 km"],
)
def test_what_is_no_scale_is_refused_with_what_may_be_said(text: str) -> None:
    with pytest.raises(ValueError, match="longest=480"):
        read_scale(text)


def deepen(path: Path, low: int, high: int) -> None:
    """Store a gray picture as a camera of 16 bits does."""
    with Image.open(path) as image:
        values = np.asarray(image.convert("L")).astype(float)
    deep = np.rint(low + values / 255 * (high - low)).astype(np.uint16)
    Image.fromarray(deep).save(path)


def test_deep_pictures_are_read_with_the_values_that_the_others_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_dataset(tmp_path / "data", {"train": 5, "val": 1}, gray=True)
    before = read_image(folder / "images/train/0.png", 1)
    deepen(folder / "images/train/0.png", 200, 3000)
    examination = examine(read_dataset(folder), ("train", "val"))
    found = preprocessing_of(examination)
    darkest, brightest = found.intensity.gray
    assert 5 <= darkest <= 15
    assert 90 <= brightest <= 130
    assert found.intensity.color == found.intensity.gray
    after = read_image(folder / "images/train/0.png", 1, found.intensity)
    assert np.abs(after.astype(int) - before).mean() < 6  # by the median of the others' values
    assert main(["check", str(folder), "--report", str(tmp_path / "check.html")]) == 0
    out = capsys.readouterr().out
    assert "the set mixes depths: 5 of 8 bits, 1 of 16 bits by percentiles" in out
    depth = examination.tones[0].depth
    assert depth is not None
    assert 250 < depth.low < depth.high < 1700
    assert f"depth   16 bits by percentiles (1): values {depth.low:,}…{depth.high:,}" in out
    assert f"<td>{depth.low:,}…{depth.high:,}</td>" in (tmp_path / "check.html").read_text()


def test_a_set_of_deep_pictures_alone_spreads_them_over_all_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_dataset(tmp_path / "data", {"train": 2, "val": 1}, gray=True)
    for path in (folder / "images").rglob("*.png"):
        deepen(path, 200, 3000)
    examination = examine(read_dataset(folder), ("train", "val"))
    found = preprocessing_of(examination)
    assert found.intensity == PercentileIntensity()
    pixels = read_image(folder / "images/train/0.png", 1, found.intensity)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert main(["check", str(folder), "--report", str(tmp_path / "check.html")]) == 0
    assert "mixes depths" not in capsys.readouterr().out


def test_a_data_set_reads_by_the_rule_it_was_given(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", {"train": 1, "val": 1}, gray=True)
    deepen(folder / "images/train/0.png", 200, 3000)
    dataset = read_dataset(folder)
    dark = dataset.with_intensity(None).split("train")[0].read(1)[0]
    assert dark.max() <= 3000 >> 8
    assert dataset.split("train")[0].read(1)[0].max() == 255
    picture = examine(dataset, ("train",)).tones[0]
    assert picture.depth is not None
    assert isinstance(picture.depth.window, IntensityWindow)
