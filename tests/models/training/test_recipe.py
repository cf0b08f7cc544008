from pathlib import Path

import pytest

from models.commands.fields import recipe_fields, shown
from models.training.options import LossTerm
from models.training.recipe import Recipe, RecipeError, read_recipe

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
        ({"augmentation": {"scale": [0.2, 1.0]}}, "between 0.25 and 4"),
        ({"augmentation": {"scale": [2.0, 0.5]}}, "smallest, largest"),
        ({"loss": {"terms": []}}, "at least 1 item"),
        ({"loss": {"terms": [{"name": "hinge"}]}}, r"loss\.terms\.0\.name: Input should be"),
        ({"network": {"weights": "x.h5"}}, "the plain encoder has no trained weights"),
    ],
)
def test_values_that_do_not_go_together_are_refused(
    recipe_file: Path, changes: dict[str, dict[str, object]], sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        read_recipe(recipe_file, changes)


def test_a_missing_recipe_says_where_recipes_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"neither a recipe nor a folder at .*models/recipes"):
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


def reference() -> str:
    """The rows of the recipe's reference, as docs/train.md has to have them."""
    rows = []
    for name, field in recipe_fields(Recipe):
        default = "" if field.is_required() else f"`{shown(field.default)}`"
        rows.append(f"| `{name}` | {default} | {field.description} |")
    rows += [
        f"| `loss.terms.{name}` | {'' if field.is_required() else f'`{field.default}`'} | {field.description} |"
        for name, field in LossTerm.model_fields.items()
    ]
    return "\n".join(rows)


def test_the_docs_have_every_field_of_the_recipe_with_its_default() -> None:
    """What is missing there is shown here, to be pasted."""
    text = (RECIPES.parents[1] / "docs" / "train.md").read_text()
    missing = [row for row in reference().splitlines() if row not in text]
    assert not missing, "\n".join(missing)


def test_a_run_of_an_older_release_is_read_with_todays_defaults(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'name = "old"\ndata = "d"\nseed = 1\nepochs = 3\nbatch_size = 8\nclass_weights = "none"\n'
        "[augmentation]\ncrop = [64, 64]\nscale = [0.6, 1.6]\nflip = true\n"
        '[optimizer]\nlearning_rate = 1e-3\ndecay = "cosine"\n'
    )
    recipe = read_recipe(path)
    assert recipe.loss.terms == (LossTerm(name="cross_entropy"),)
    assert (recipe.average, recipe.precision, recipe.optimizer.name) == (0.0, "float32", "adamw")
