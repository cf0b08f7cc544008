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
    train.set_defaults(run_command=_train)
    train.add_argument(
        "recipe", type=Path, help="a TOML recipe; those of the project: models/recipes"
    )
    train.add_argument("--run", type=Path, help="the run folder (default: runs/<name>)")
    train.add_argument(
        "--initialise-from",
        dest="recipe.network.initialise_from",
        metavar="RUN",
        help="the run of the coarser FCN that fcn16s or fcn8s starts from",
    )
    fields = train.add_argument_group("recipe", "every field of the recipe can be set here too")
    for name, field in _recipe_fields(Recipe):
        default = "" if field.is_required() else f" (default: {_shown(field.default)})"
        fields.add_argument(
            f"--{name}",
            dest=f"recipe.{name}",
            metavar=name.rsplit(".")[-1].upper(),
            help=f"{field.description or ''}{default}".replace("%", "%%"),
        )


def _train(parsed: argparse.Namespace) -> None:
    recipe = read_recipe(parsed.recipe, _changes(parsed))

    from models.training.train import train

    folder = parsed.run or Path("runs") / recipe.name
    state = train(recipe, folder)
    print(
        f"{folder}: {state.epochs_done} epochs in {state.seconds / 60:.0f} minutes; "
        f"best val mIoU {state.best_mean_iou:.4f} in epoch {state.best_epoch}.\n"
        f"Next: segtrain evaluate {folder}, then segtrain export {folder}"
    )


def _recipe_fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _recipe_fields(field.annotation, f"{prefix}{name}.")
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


def _shown(default: Any) -> str:
    return "none" if default is None else json.dumps(default, default=str)
