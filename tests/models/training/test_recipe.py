from pathlib import Path

import pytest

from models.training.recipe import RecipeError, read_recipe

RECIPES = Path(__file__).parents[3] / "models" / "recipes"


def test_changes_are_laid_over_the_recipe(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file, {"epochs": 9, "network": {"width": 8}})
    assert (recipe.epochs, recipe.network.width, recipe.network.encoder) == (9, 8, "plain")


def test_a_faulty_field_is_named(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"optimizer\.decay: Input should be 'cosine'"):
        read_recipe(recipe_file, {"optimizer": {"decay": "sudden"}})


def test_a_misspelt_field_is_named(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"network\.witdh: Extra inputs"):
        read_recipe(recipe_file, {"network": {"witdh": 3}})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"augmentation": {"scale": [0.4, 1.0]}}, "0.5 or more first"),
        ({"augmentation": {"scale": [2.0, 0.5]}}, "smallest, largest"),
        ({"network": {"weights": "x.h5"}}, "the plain encoder has no trained weights"),
    ],
)
def test_values_that_do_not_go_together_are_refused(
    recipe_file: Path, changes: dict[str, dict[str, object]], sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        read_recipe(recipe_file, changes)


def test_a_missing_recipe_says_where_recipes_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="models/recipes"):
        read_recipe(tmp_path / "none.toml")


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("name = ")
    with pytest.raises(RecipeError, match=r"broken\.toml is not TOML"):
        read_recipe(path)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_valid_and_says_how_to_run_it(path: Path) -> None:
    assert read_recipe(path).name == path.stem
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(f"segtrain train models/recipes/{path.name}" in line for line in comments)
