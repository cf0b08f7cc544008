"""The table of scores, the first lines of the recipes and the bundled cards against the results
they come from."""

import re
from pathlib import Path

import pytest

from benchmarks.scores import HEADLINES, RECIPES, Headline, read_results
from benchmarks.scores_report import MARK, README, read_speed, table
from models.training.recipe import read_recipe

RESULTS = read_results()
ZOO = Path(__file__).parents[2] / "models" / "zoo"


def test_the_readme_shows_the_results_as_they_are_kept() -> None:
    expected = table(RESULTS, read_speed())
    assert f"<!-- {MARK} -->\n{expected}\n<!-- /{MARK} -->" in README.read_text()


def test_every_recipe_but_the_one_for_own_data_is_scored() -> None:
    assert {path.stem for path in RECIPES.glob("*.toml")} == {*HEADLINES, "scratch"}
    assert {f"{name} 1" for name in HEADLINES} <= set(RESULTS)


@pytest.mark.parametrize("name", HEADLINES)
def test_a_recipes_first_lines_tell_its_command_and_the_scores_of_its_run(name: str) -> None:
    path = RECIPES / f"{name}.toml"
    head = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    result, headline = RESULTS[f"{name} 1"], HEADLINES[name]
    assert f"segtrain train models/recipes/{name}.toml --data " in head
    for split, document in result["scores"].items():
        assert f"{split} {headline.of(document):.3f}" in head
    recipe = read_recipe(path)
    assert (recipe.seed, recipe.epochs) == (result["seed"], result["epochs"])


@pytest.mark.parametrize(
    "card", sorted(ZOO.glob("*/*/assets.extra/model_card.md")), ids=lambda p: p.parts[-4]
)
def test_a_bundled_model_is_the_one_that_was_scored(card: Path) -> None:
    text, name = card.read_text(), card.parts[-4]
    made_by = [r for r in HEADLINES if read_recipe(RECIPES / f"{r}.toml").name == name]
    for split, document in RESULTS[f"{made_by[-1]} 1"]["scores"].items():
        row = re.search(rf"^\| {split} \| \S+ \| \S+ \| (\S+) \|", text, re.MULTILINE)
        assert row is not None
        assert row[1] == f"{document['mean_iou']:.4f}"


def test_a_headline_is_read_from_what_evaluate_prints() -> None:
    document = {
        "mean_iou": 0.7,
        "pixel_error": 0.06,
        "class_iou": {"cell": 0.8, "water": 0.0},
        "class_dice": {"cell": 0.9},
        "class_accuracy": {"cell": 0.9, "water": None},
    }
    assert Headline("mean IoU", "–").of(document) == 0.7
    assert Headline("pixel error", "–").of(document) == 0.06
    assert Headline("IoU", "–", "cell").of(document) == 0.8
    assert Headline("mean IoU of the classes there", "–").of(document) == 0.8
    f1 = Headline("F1", "–", "cell")
    assert (f1.of(document), f1.label) == (0.9, "cell F1")
