"""The fields of a recipe as flags of a command: `--split.seed 7` is the field seed of the table
[split]."""

import argparse
import json
import tomllib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from models.data.options import LayoutOptions, SplitOptions
from models.training.recipe import Recipe, RecipeError, recipe_of
from models.training.renamed import RENAMED, with_new_names


def add_recipe_flags(
    parser: "argparse._ActionsContainer", tables: tuple[str, ...] | None = None
) -> None:
    """A flag for each field, of the whole recipe or of some of its tables."""
    for name, field in recipe_fields(Recipe):
        if tables is not None and name.split(".")[0] not in tables:
            continue
        default = "" if field.is_required() else f" (default: {shown(field.default)})"
        parser.add_argument(
            f"--{name}",
            dest=f"recipe.{name}",
            metavar=name.rsplit(".")[-1].upper(),
            help=f"{field.description or ''}{default}".replace("%", "%%"),
        )
    for old in RENAMED:
        if tables is None or old.split(".")[0] in tables:
            parser.add_argument(f"--{old}", dest=f"recipe.{old}", help=argparse.SUPPRESS)


def data_options(
    changes: dict[str, Any], below: Recipe | None = None
) -> tuple[SplitOptions, LayoutOptions]:
    """How the samples of a data set are found and divided: as a recipe has it, or by default, with
    `changes` laid over.

    Raises RecipeError.
    """
    document = below.model_dump(include={"split", "layout"}, exclude_none=True) if below else {}
    recipe = recipe_of({"name": "data", "data": ".", **document}, changes)
    return recipe.split, recipe.layout


def recipe_fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of the recipe as "table.field", with what pydantic knows of it."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from recipe_fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def given_fields(parsed: argparse.Namespace) -> dict[str, Any]:
    """The recipe fields that the command line sets, nested as the recipe is. Raises RecipeError."""
    changes: dict[str, Any] = {}
    for name, text in vars(parsed).items():
        if not name.startswith("recipe.") or text is None:
            continue
        *tables, key = name.split(".")[1:]
        place = changes
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = _toml_value(text)
    try:
        return with_new_names(changes, "command line")
    except ValueError as error:
        raise RecipeError(str(error)) from error


def _toml_value(text: str) -> Any:
    """What a TOML file would hold: numbers, booleans and lists as such, anything else as a
    string."""
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
