"""`segtrain train`: train by a recipe; the same command again resumes."""

import argparse
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.commands.command import BUNDLED_STORE, DEFAULT_STORE, for_shell, import_tensorflow
from models.commands.fields import add_recipe_flags, given_fields, shown
from models.contract import ContractError, find_versions, read_contract
from models.data.names import counted
from models.training.recipe import Recipe, RecipeError, read_recipe

if TYPE_CHECKING:
    from models.data.examination import Examination

HELP = "train by a recipe; the same command again resumes"

MINUTES = 30
# whose encoder is started from: of the bundled models the one whose data may be used for anything
TRAINED = "nuclei"
TRAINED_ON = "dsb2018"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(
        when_stopped="run the same command again to resume",
    )
    parser.add_argument(
        "recipe",
        type=Path,
        metavar="RECIPE|DATA",
        help="a TOML recipe (those of the project: models/recipes), or a data set's folder to "
        "choose one for",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help="with DATA, unless --epochs says it: how long to train, about; to start, to measure "
        f"and to report take one or two more (default: {MINUTES})",
    )
    parser.add_argument("--run", type=Path, help="the run folder (default: runs/<name>)")
    parser.add_argument(
        "--split",
        dest="recipe.split.fraction",
        metavar="SHARE",
        help="the same as --split.fraction, as segtrain check has it",
    )
    parser.add_argument(
        "--initialize-from",
        dest="recipe.network.initialize_from",
        metavar="RUN|MODEL/VERSION",
        help="the run or exported model whose weights the network starts from (fine-tuning); for "
        "fcn16s and fcn8s also the run of the next coarser FCN",
    )
    parser.add_argument(
        "--initialise-from", dest="recipe.network.initialise_from", help=argparse.SUPPRESS
    )
    add_recipe_flags(
        parser.add_argument_group("recipe", "every field of the recipe can be set here too")
    )


def run(parsed: argparse.Namespace) -> None:
    """Train, or resume, and say what comes next."""
    changes = given_fields(parsed)
    task = _task_of_data(parsed, changes) if parsed.recipe.is_dir() else _task(parsed, changes)

    import_tensorflow()
    from models.training.run import Run, is_run
    from models.training.train import train

    folder = task.folder
    before = Run.open(folder).state if is_run(folder) else None
    state = train(task.recipe, folder, task.notes, task.examination)
    if state == before:
        print(f"{folder} is finished; nothing was trained.")
    minutes = round(state.seconds / 60)
    time = counted(minutes, "minute") if minutes else "less than a minute"
    found = f"best val mIoU {state.best_mean_iou:.4f} in epoch {state.best_epoch}"
    to_do = [f"segtrain evaluate {for_shell(folder)}"]
    if not task.recipe.split.validation:
        found = "the last one is kept, not scored"
        record = Run.open(folder).record
        has_test = record is not None and "test" in record.splits
        to_do = [f"{to_do[0]} --split test"] if has_test else []
    to_do.append(f"segtrain export {for_shell(folder)} --store {DEFAULT_STORE}")
    print(
        f"{folder}: {counted(state.epochs_done, 'epoch')} in {time}; {found}.\n"
        f"Next: {', then '.join(to_do)}"
    )


@dataclass(frozen=True)
class _Task:
    """What to train, where, and why so; `examination` is that of the data where they were read
    already."""

    recipe: Recipe
    folder: Path
    notes: Sequence[str] = ()
    examination: "Examination | None" = None


def _task(parsed: argparse.Namespace, changes: dict[str, Any]) -> _Task:
    """By a recipe."""
    recipe = read_recipe(parsed.recipe, changes)
    if parsed.minutes is not None:
        raise RecipeError(
            f"--minutes is for a data set's folder, whose recipe is chosen; {parsed.recipe} says "
            "how long by its epochs: set --epochs"
        )
    folder = parsed.run or Path("runs") / recipe.name
    _require_writable(folder)
    return _Task(recipe, folder)


def _task_of_data(parsed: argparse.Namespace, changes: dict[str, Any]) -> _Task:
    """By the recipe that an earlier call chose for this data, or by a new one with the reasons for
    it."""
    if "data" in changes:
        raise RecipeError(f"--data is for a recipe; the data to train on are {parsed.recipe}")
    import_tensorflow()
    from models.training.choice import choose_recipe, run_name
    from models.training.run import RECIPE, Run, is_run

    folder = parsed.run or Path("runs") / str(changes.get("name", run_name(parsed.recipe)))
    if is_run(folder) and Run.open(folder).state.has_checkpoint:
        print(f"{folder} is a run already; resuming it with its recipe")
        return _Task(read_recipe(folder / RECIPE, changes | {"data": str(parsed.recipe)}), folder)
    _require_writable(folder)
    minutes = MINUTES if parsed.minutes is None else parsed.minutes
    chosen = choose_recipe(parsed.recipe, minutes, changes, _trained())
    lines = [
        f"{choice.field} = {shown(choice.value)}: {choice.reason}" for choice in chosen.choices
    ]
    print("\n".join(lines))
    print(f"Kept in {folder / RECIPE}, to run again or to change.")
    notes = [f"Chosen by segtrain train {parsed.recipe.name}", *lines]
    return _Task(chosen.recipe, folder, notes, chosen.examination)


def _require_writable(folder: Path) -> None:
    """Raise RecipeError where the run could not be kept, before anything is measured or trained."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise RecipeError(f"{folder} cannot be written below {there}; give another --run folder")


def _trained() -> Path | None:
    """The newest version of the bundled model that is started from; not one that the user keeps
    under its name."""
    folders = find_versions(BUNDLED_STORE / TRAINED).folders
    for artefact in reversed(folders.values()):
        with contextlib.suppress(ContractError):
            contract = read_contract(artefact)
            is_ours = contract.training is not None and contract.training.dataset == TRAINED_ON
            if is_ours and "mobilenet_v2" in contract.architecture:
                return artefact
    return None
