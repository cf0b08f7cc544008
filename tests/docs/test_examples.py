"""The example pictures of the page are those that their script draws."""

import runpy
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]


def test_the_example_pictures_are_drawn_by_their_script() -> None:
    scenes = runpy.run_path(str(ROOT / "docs" / "examples" / "draw.py"))["SCENES"]
    folder = ROOT / "service" / "web" / "examples"
    assert {path.stem for path in folder.iterdir()} == set(scenes)
    drawn = np.asarray(scenes["junction"](), np.int16)
    shipped = np.asarray(Image.open(folder / "junction.jpg"), np.int16)
    assert np.abs(drawn - shipped).mean() < 4  # what JPEG changes


def test_the_example_pictures_are_small() -> None:
    for path in (ROOT / "service" / "web" / "examples").iterdir():
        assert path.stat().st_size < 60_000
