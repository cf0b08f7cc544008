"""`segserve compare`: two versions that can be solved in the head."""

import json
from pathlib import Path

import numpy as np
import pytest

from service.cli import main
from service.domain.comparison import Agreement
from tests.service.serving import picture, png_bytes
from tests.solvable import save_solvable_model, solve

GAINS = 1.0, 1.5, 1.0  # of the second version, which sees more green


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("versions") / "store"
    save_solvable_model(store)
    save_solvable_model(store, version=2, gains=GAINS)
    save_solvable_model(store, name="gray", channels=1)
    return store


def test_two_maps_are_compared_class_by_class() -> None:
    first = np.array([[0, 0, 1, 1]], np.uint8)
    second = np.array([[0, 1, 1, 1]], np.uint8)
    agreement = Agreement.of(first, second, 3)
    assert agreement.equal_share == 3 / 4
    assert agreement.class_iou == [1 / 2, 2 / 3, None]
    assert agreement.mean_iou == pytest.approx(7 / 12)
    np.testing.assert_allclose(agreement.first_shares, [1 / 2, 1 / 2, 0])
    np.testing.assert_allclose(agreement.second_shares, [1 / 4, 3 / 4, 0])
    both = agreement + Agreement.of(first, first, 3)
    assert (both.pixels, both.equal_share) == (8, 7 / 8)
    assert Agreement.none(3).equal_share == Agreement.none(3).mean_iou == 1


def test_a_folder_is_compared_and_what_differs_most_comes_first(
    two_versions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    noise, red = picture(20, 30), np.full((20, 30, 3), (200, 10, 10), np.uint8)
    for name, image in {"a-red": red, "noise": noise}.items():
        (folder / f"{name}.png").write_bytes(png_bytes(image))
    (folder / "torn.png").write_bytes(png_bytes(noise)[:100])
    out = tmp_path / "out" / "c.html"
    command = ["compare", "solvable/1", "solvable/2", str(folder), "-o", str(out)]
    assert main([*command, "--model-store", str(two_versions)]) == 1
    said = capsys.readouterr()
    assert "2 compared, 1 failed: solvable/1 and solvable/2 equal on" in said.out
    assert "torn.png: " in said.err
    document = json.loads(out.with_suffix(".json").read_text())
    same = (solve(noise) == (noise * np.array(GAINS)).argmax(axis=-1)).mean()
    assert 0.5 < same < 0.95
    assert [one["image"] for one in document["images"]] == ["noise.png", "a-red.png"]
    assert document["images"][0]["equal_share"] == pytest.approx(same, abs=1e-6)
    assert document["images"][1]["equal_share"] == 1
    assert document["equal_share"] == pytest.approx((same + 1) / 2, abs=1e-6)
    assert document["classes"][1]["second_share"] > document["classes"][1]["first_share"]
    page = out.read_text()
    assert page.count("<img") == 8
    assert page.index("noise.png") < page.index("a-red.png")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["solvable/1", "gray/1"], "versions of the same classes"),
        (["solvable/2", "solvable"], "both solvable/2"),
        (["solvable/1", "solvable/3"], "no model 'solvable/3'"),
        (["solvable/1", "solvable/2", "-o", "c.json"], "ends in .html"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    two_versions: Path,
    tmp_path: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second, *more = arguments
    command = ["compare", first, second, str(tmp_path), *more]
    assert main([*command, "--model-store", str(two_versions)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
