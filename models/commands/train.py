"""`segtrain train`: train by a recipe; the same command again goes on where it stopped."""

import argparse
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from models.commands.command import Commands
from models.training.recipe import Recipe, read_recipe


def add_command(commands: Commands) -> None:
    train = commands.add_parser("train", help="train by a recipe; the same command again resumes")
    train.set_defaults(
        run_command=_train,
        when_stopped="the same command goes on where it stopped",
    )
    train.add_argument(
        "recipe",
        type=Path,
        metavar="RECIPE|DATA",
        help="a TOML recipe (those of the project: models/recipes), or a data set's folder to choose one for",
    )
    train.add_argument(
        "--minutes",
        type=float,
        default=30,
        help="with DATA: how long to train, about (default: 30)",
    )
    train.add_argument("--run", type=Path, help="the run folder (default: runs/<name>)")
    train.add_argument(
        "--initialise-from",
        dest="recipe.network.initialise_from",
        metavar="RUN",
        help="the run of the coarser FCN that fcn16s or fcn8s starts from",
    )
    fields = train.add_argument_group("recipe", "every field of the recipe can be set here too")
    for name, field in recipe_fields(Recipe):
        default = "" if field.is_required() else f" (default: {shown(field.default)})"
        fields.add_argument(
            f"--{name}",
            dest=f"recipe.{name}",
            metavar=name.rsplit(".")[-1].upper(),
            help=f"{field.description or ''}{default}".replace("%", "%%"),
        )


def _train(parsed: argparse.Namespace) -> None:
    changes = _changes(parsed)
    if parsed.recipe.is_dir():
        recipe, notes = _recipe_for_data(parsed, changes)
    else:
        recipe, notes = read_recipe(parsed.recipe, changes), []

    from models.training.train import train

    folder = parsed.run or Path("runs") / recipe.name
    state = train(recipe, folder, notes)
    print(
        f"{folder}: {state.epochs_done} epochs in {state.seconds / 60:.0f} minutes; "
        f"best val mIoU {state.best_mean_iou:.4f} in epoch {state.best_epoch}.\n"
        f"Next: segtrain evaluate {folder}, then segtrain export {folder}"
    )


def _recipe_for_data(
    parsed: argparse.Namespace, changes: dict[str, Any]
) -> tuple[Recipe, list[str]]:
    """The recipe that an earlier call chose for this data, or a new one and the reasons for it."""
    from models.training.choice import chosen_recipe, run_name
    from models.training.run import RECIPE, Run, is_run

    folder = parsed.run or Path("runs") / changes.get("name", run_name(parsed.recipe))
    if is_run(folder) and Run.open(folder).state.has_begun:
        print(f"{folder} has begun; going on with its recipe")
        return read_recipe(folder / RECIPE, changes), []
    recipe, choices = chosen_recipe(parsed.recipe, parsed.minutes, changes)
    lines = [f"{choice.field} = {shown(choice.value)}: {choice.reason}" for choice in choices]
    print("\n".join(lines))
    print(f"Written to {folder / RECIPE}, to run again or to change.")
    return recipe, [f"Chosen by segtrain train {parsed.recipe.name}", *lines]


def recipe_fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of the recipe as "table.field", with what pydantic knows of it."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from recipe_fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _changes(parsed: argparse.Namespace) -> dict[str, Any]:
    """The recipe fields that the command line sets, nested as the recipe is."""
    changes: dict[str, Any] = {}
    for name, text in vars(parsed).items():
        if not name.startswith("recipe.") or text is None:
            continue
        *tables, key = name.split(".")[1:]
        place = changes
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = _toml_value(text)
    return changes


def _toml_value(text: str) -> Any:
    """What a TOML file would hold: numbers, booleans and lists as such, anything else as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def shown(value: Any) -> str:
    """A field's value as TOML would have it, or near enough to read."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(shown(entry) for entry in value) + "]"
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {shown(entry)}" for key, entry in value.items()) + "}"
    return "none" if value is None else json.dumps(value, default=str)
