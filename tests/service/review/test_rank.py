"""`segserve rank` as a person at a terminal uses it, and the arithmetic behind it."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.contract import read_contract
from service.cli import main
from service.review.ranking import percentiles, rank, rarity
from service.runtimes.openvino_features import FeatureModel
from service.settings import BUNDLED_MODELS
from tests.service.serving import picture, png_bytes


def unit(*angles: float) -> np.ndarray:
    """Vectors on a circle, by degrees."""
    turned = np.deg2rad(np.array(angles))
    return np.stack([np.cos(turned), np.sin(turned)], axis=1)


EVEN = np.full((4, 2), 0.5)


def test_near_duplicates_wait_however_unsure_the_model_is_of_them() -> None:
    features = unit(0, 1, 2, 90)
    uncertainty = np.array([0.9, 0.8, 0.7, 0.1])
    order = rank(uncertainty, EVEN, features, np.empty((0, 2)), 4)
    assert [one.index for one in order][:2] == [0, 3]
    assert order[1].novelty == pytest.approx(np.sqrt(2))


def test_what_is_like_the_labeled_comes_last() -> None:
    order = rank(np.zeros(4), EVEN, unit(0, 5, 90, 180), unit(0), 4)
    assert order[0].index == 3
    assert order[-1].index == 0


def test_among_equally_new_ones_the_unsure_and_the_rare_come_first() -> None:
    apart = np.eye(4)
    shares = np.array([[1.0, 0.0]] * 3 + [[0.9, 0.1]])
    unsure = rank(np.array([0.1, 0.4, 0.2, 0.1]), EVEN, apart, np.empty((0, 4)), 4)
    rare = rank(np.full(4, 0.1), shares, apart, np.empty((0, 4)), 4)
    assert unsure[0].index == 1
    assert rare[0].index == 3
    assert rarity(shares)[3] > rarity(shares)[0]


def test_what_is_not_chosen_one_by_one_follows_by_weight() -> None:
    order = rank(np.array([0.1, 0.9, 0.5, 0.3]), EVEN, np.eye(4), np.empty((0, 4)), 1)
    assert [one.index for one in order] == [1, 2, 3, 0]
    assert [one.novelty is None for one in order] == [False, True, True, True]


def test_equal_values_share_their_place() -> None:
    np.testing.assert_allclose(percentiles(np.array([3.0, 1.0, 3.0, 5.0])), [0.5, 0, 0.5, 1])
    np.testing.assert_array_equal(percentiles(np.full(3, 2.0)), [0.5] * 3)


def rank_command(store: Path, folder: Path, out: Path, *more: str) -> int:
    return main(
        ["rank", str(folder), "-o", str(out), "--model-store", str(store), "-m", "solvable", *more]
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures, of which three are all but the same."""
    folder = tmp_path / "photos"
    folder.mkdir()
    colors = {"a1": (200, 90, 90), "a2": (200, 92, 90), "a3": (201, 90, 90)}
    colors |= {"green": (10, 220, 10), "blue": (10, 10, 220)}
    for name, color in colors.items():
        Image.new("RGB", (40, 30), color).save(folder / f"{name}.png")
    (folder / "noise.png").write_bytes(png_bytes(picture(30, 40)))
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_folder_is_ranked_shown_and_measured_once(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "ranking.csv"
    assert rank_command(solvable_store, photos, out, "-n", "4") == 0
    assert "6 ranked by solvable/1, 0 of them measured before" in capsys.readouterr().out
    rows = rows_of(out)
    assert [row["rank"] for row in rows] == list("123456")
    first = {row["image"][0] for row in rows[:4]}
    assert first == {"a", "g", "b", "n"}  # one of each kind before the second of one
    page = out.with_suffix(".html").read_text()
    assert page.count("<figure>") == 4
    assert rows[0]["image"] in page
    (photos / "new.png").write_bytes(png_bytes(picture(30, 40, seed=1)))
    (photos / "torn.png").write_bytes(png_bytes(picture(30, 40))[:100])
    with out.with_name("ranking.measured.jsonl").open("a") as file:
        file.write('{"path": "of a line that was torn')
    assert rank_command(solvable_store, photos, out) == 1
    said = capsys.readouterr()
    assert "7 ranked by solvable/1, 6 of them measured before, 1 failed" in said.out
    assert "torn.png: " in said.err


def test_labeled_pictures_are_left_out(solvable_store: Path, photos: Path, tmp_path: Path) -> None:
    labeled = tmp_path / "labeled"
    labeled.mkdir()
    shutil.copy(photos / "a1.png", labeled)
    out = tmp_path / "ranking.csv"
    assert rank_command(solvable_store, photos, out, "--labeled", str(labeled), "-n", "6") == 0
    images = [row["image"] for row in rows_of(out)]
    assert {images[-1], images[-2], images[-3]} == {"a1.png", "a2.png", "a3.png"}
    assert rank_command(solvable_store, labeled, out, "--labeled", str(labeled)) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "ranking.txt"], "ends in .csv"),
        (["-o", "r.csv", "-n", "0"], "from 1 to 1000"),
        (["-o", "r.csv", "--labeled", "nowhere"], "no folder nowhere"),
    ],
)
def test_a_command_that_cannot_be_done_is_one_sentence(
    solvable_store: Path,
    photos: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = ["--model-store", str(solvable_store)]
    assert main(["rank", str(photos), *arguments, *store]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_features_are_those_of_the_deepest_map_and_tell_scenes_apart() -> None:
    artefact = BUNDLED_MODELS / "street" / "1"
    features = FeatureModel(artefact, read_contract(artefact), threads=1)
    rows, columns = np.mgrid[:96, :128]
    street, noise = np.stack([rows, columns, 200 - rows], -1).astype(np.uint8), picture(96, 128)
    near = np.clip(street.astype(int) + 3, 0, 255).astype(np.uint8)
    seen = [features(image) for image in (street, near, noise)]
    assert seen[0].shape == (128,)
    assert np.linalg.norm(seen[0]) == pytest.approx(1, abs=1e-4)
    assert seen[0] @ seen[1] > 0.95 > seen[0] @ seen[2]
