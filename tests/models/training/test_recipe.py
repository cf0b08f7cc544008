import argparse
from pathlib import Path

import pytest

from benchmarks.scores import STARTS
from models.commands.fields import add_recipe_flags, given_fields, recipe_fields, shown
from models.training.options import LossTerm
from models.training.recipe import Recipe, RecipeError, read_recipe
from models.training.renamed import RENAMED

RECIPES = Path(__file__).parents[3] / "models" / "recipes"


def test_changes_are_laid_over_the_recipe(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file, {"epochs": 9, "network": {"width": 8}})
    assert (recipe.epochs, recipe.network.width, recipe.network.encoder) == (9, 8, "plain")


def test_a_faulty_field_is_named(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"optimizer\.decay: input should be 'cosine'"):
        read_recipe(recipe_file, {"optimizer": {"decay": "sudden"}})


def test_a_misspelt_field_is_named(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"network\.witdh: extra inputs"):
        read_recipe(recipe_file, {"network": {"witdh": 3}})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"augmentation": {"scale": [0.2, 1.0]}}, "between 0.25 and 4"),
        ({"augmentation": {"scale": [2.0, 0.5]}}, "smallest, largest"),
        ({"loss": {"terms": []}}, "at least 1 item"),
        ({"loss": {"terms": [{"name": "hinge"}]}}, r"loss\.terms\.0\.name: input should be"),
        ({"network": {"weights": "x.h5"}}, "the plain encoder has no trained weights"),
        (
            {"loss": {"terms": [{"name": "dice", "start": 0.5}, {"name": "focal", "start": 0.2}]}},
            "all loss.terms have a start, the first 0.2",
        ),
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
    assert read_recipe(path).name == STARTS.get(path.stem, path.stem)
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(f"segtrain train models/recipes/{path.name}" in line for line in comments)


def reference() -> str:
    """The rows of the recipe's reference, as docs/train.md has to have them."""
    rows = []
    for name, field in recipe_fields(Recipe):
        default = "" if field.is_required() else f"`{shown(field.default)}`"
        rows.append(f"| `{name}` | {default} | {field.description} |")
    rows += [
        f"| `loss.terms.{name}` | {'' if field.is_required() else f'`{field.default}`'} | "
        f"{field.description} |"
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
    assert (recipe.ema_decay, recipe.precision, recipe.optimizer.name) == (0.0, "float32", "adamw")


OLD_NAMES = """
name = "old"
data = "d"
average = 0.99
score_every = 5
[network]
name = "fcn16s"
initialise_from = "runs/32s"
[augmentation]
quarter_turns = true
outside = "void"
[optimizer]
encoder_rate = 0.1
warm_up_steps = 7
"""


def test_the_old_names_of_fields_are_read_with_one_line_of_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(OLD_NAMES)
    recipe = read_recipe(path)
    assert (recipe.ema_decay, recipe.eval_every) == (0.99, 5)
    assert recipe.network.initialize_from == Path("runs/32s")
    assert (recipe.augmentation.rot90, recipe.augmentation.fill_mode) == (True, "ignore")
    assert (recipe.optimizer.encoder_lr_multiplier, recipe.optimizer.warmup_steps) == (0.1, 7)
    assert read_recipe(path) == recipe
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{path}: average is now ema_decay, score_every is now eval_every, ")
    assert "augmentation.fill_mode 'void' is now 'ignore'" in said
    assert "\n" not in said


def test_a_field_by_both_its_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('name = "a"\ndata = "d"\naverage = 0.9\nema_decay = 0.99\n')
    with pytest.raises(RecipeError, match="average is the old name of ema_decay; leave it out"):
        read_recipe(path)


def test_every_old_name_is_a_flag_still(
    recipe_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parser = argparse.ArgumentParser()
    add_recipe_flags(parser)
    flags = [word for name in RENAMED for word in (f"--{name}", f"[{name!r}]")]
    given = given_fields(parser.parse_args(flags))
    assert len(caplog.records) == 1
    assert given["ema_decay"] == ["average"]
    assert given["optimizer"]["warmup_steps"] == ["optimizer.warm_up_steps"]
    assert "score_every" not in parser.format_help()
    changed = given_fields(
        parser.parse_args(["--score_every", "3", "--augmentation.outside", "void"])
    )
    recipe = read_recipe(recipe_file, changed)
    assert (recipe.eval_every, recipe.augmentation.fill_mode) == (3, "ignore")
