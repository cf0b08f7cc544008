"""The script of docs/loop.md, from a folder of pictures to the next version that serves: all of it
for real, with a model that is solved in the head and a network that learns in seconds.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.label_next_report import CHART, RESULTS, chart, table
from models.contract import read_contract
from tests.solvable import save_solvable_model, solve

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "examples" / "loop.sh"
RECIPE = """
name = "solvable"
data = "data"
epochs = 1
batch_size = 4

[network]
name = "fcn32s"
width = 1

[augmentation]
crop = [32, 32]
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_one_turn_of_the_loop_serves_a_new_version(tmp_path: Path) -> None:
    store = tmp_path / "store"
    save_solvable_model(store, with_openvino=True)
    pictures, masks = tmp_path / "pictures", tmp_path / "masks"
    pictures.mkdir()
    masks.mkdir()
    for number in range(14):
        image = np.random.default_rng(number).integers(0, 250, (4, 5, 3), np.uint8)
        image = image.repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(image).save(pictures / f"{number}.png")
        Image.fromarray(solve(image)).save(masks / f"{number}.png")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    commands = {
        "SEGSERVE": f"{sys.executable} -m service.cli",
        "SEGTRAIN": f"{sys.executable} -m models.cli",
    }
    done = subprocess.run(
        [SCRIPT, store / "solvable", pictures, masks, tmp_path / "recipe.toml"],
        cwd=tmp_path,
        env={**os.environ, **commands, "LABELS": "6", "WORK": str(tmp_path / "loop")},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "14 pictures answered by solvable/1 and kept" in said
    assert "is answered by solvable/2" in said
    assert said.count('"replaced":false') == 6
    assert read_contract(store / "solvable" / "2").name == "solvable"
    loop = tmp_path / "loop"
    with (loop / "ranking.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 14
    labeled = sorted((loop / "kept" / "solvable" / "labeled" / "masks").iterdir())
    assert len(labeled) == 6
    truth = {path.read_bytes() for path in pictures.iterdir()}
    for mask in labeled:
        path = mask.parents[1] / "images" / mask.name
        assert path.read_bytes() in truth
        np.testing.assert_array_equal(np.array(Image.open(mask)), solve(np.array(Image.open(path))))
    comparison = json.loads((loop / "comparison.json").read_text())
    assert (comparison["first"]["model"], comparison["second"]["model"]) == (
        "solvable/1",
        "solvable/2",
    )
    assert comparison["pictures"] == 14


def test_the_page_has_what_the_benchmark_found() -> None:
    results = json.loads(RESULTS.read_text())
    assert table(results) in (ROOT / "docs" / "loop.md").read_text()
    assert CHART.read_text() == chart(results)
