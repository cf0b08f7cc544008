"""`segtrain`: train, evaluate, export."""

import argparse
import json
import math
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from models.contract import ContractError, read_contract
from models.training.recipe import Recipe, RecipeError, read_recipe

if TYPE_CHECKING:
    from models.data.dataset import Dataset
    from models.training.run import Run

DEFAULT_STORE = Path(__file__).parent / "zoo"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit code 0 when it did what was asked, 1 with a sentence where it could not."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run_command(parsed)
    except _user_errors() as error:
        print(f"segtrain: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"segtrain: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nsegtrain: stopped; the same command goes on from the last whole epoch",
            file=sys.stderr,
        )
        return 130
    return 0


# ---- commands: what needs TensorFlow is imported when it runs, so that --help is instant


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


def _evaluate(parsed: argparse.Namespace) -> None:
    from models.data.dataset import read_dataset
    from models.training.evaluation import evaluate, network_predict, saved_model_predict
    from models.training.run import BEST, Run, is_run, load_network

    run = Run.open(parsed.model) if is_run(parsed.model) else None
    if run is None and not (parsed.model / "saved_model.pb").is_file():
        raise RecipeError(f"{parsed.model} is neither a run folder nor an exported model")
    if run is None and parsed.data is None:
        raise RecipeError("an exported model does not know its dataset's folder; say --data FOLDER")
    if run is not None and not (run.folder / BEST).is_file():
        raise RecipeError(f"{run.folder} has no whole epoch yet; `segtrain train` goes on with it")
    dataset = read_dataset(parsed.data or run.recipe.data)  # type: ignore[union-attr]
    predict = (
        network_predict(load_network(run.folder / BEST))
        if run
        else saved_model_predict(parsed.model)
    )
    classes = dataset.class_list.classes
    _require_same_task(run, parsed.model, dataset)
    scores = evaluate(
        predict,
        dataset.split(parsed.split),
        classes=len(classes),
        channels=dataset.channels,
        title=parsed.split,
    ).scores()
    by_class = dict(zip((c.name for c in classes), scores.class_iou.tolist(), strict=True))
    if run and parsed.data is None:  # scores on other data are not this model's card's
        run.save_scores(parsed.split, scores.summary(), by_class)
    if parsed.json:
        by_class = {name: None if math.isnan(iou) else iou for name, iou in by_class.items()}
        print(json.dumps({"split": parsed.split, **scores.summary(), "class_iou": by_class}))
        return
    for name, value in scores.summary().items():
        print(f"{name.replace('_', ' '):24} {value:.4f}")
    for name, iou in by_class.items():
        print(f"  IoU {name:20} {iou:.4f}")


def _require_same_task(run: "Run | None", artefact: Path, dataset: "Dataset") -> None:
    """Raise RecipeError where the model has other classes or channels than the dataset."""
    from models.data.dataset import read_dataset

    if run is not None:
        trained_on = read_dataset(run.recipe.data)
        model = trained_on.class_list.classes, trained_on.channels
    else:
        contract = read_contract(artefact)
        model = contract.classes, contract.channels
    data = dataset.class_list.classes, dataset.channels
    if len(model[0]) != len(data[0]) or model[1] != data[1]:
        raise RecipeError(
            f"the model has {len(model[0])} classes and {model[1]} channels, the data in {dataset.folder} "
            f"{len(data[0])} and {data[1]}; score it on data of its own kind"
        )


def _export(parsed: argparse.Namespace) -> None:
    from models.export.run import export_run

    artefact = export_run(parsed.run_folder, parsed.store, parsed.version)
    print(f"{artefact}\nNext: segserve serve --model-store {parsed.store}")


# ---- the command line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segtrain", description="From a folder of images and masks to a served model."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train by a recipe; the same command again resumes")
    train.set_defaults(run_command=_train)
    train.add_argument(
        "recipe", type=Path, help="a TOML recipe; those of the project: models/recipes"
    )
    train.add_argument("--run", type=Path, help="the run folder (default: runs/<name>)")
    fields = train.add_argument_group("recipe", "every field of the recipe can be set here too")
    for name, field in _recipe_fields(Recipe):
        default = "" if field.is_required() else f" (default: {_shown(field.default)})"
        fields.add_argument(
            f"--{name}",
            dest=f"recipe.{name}",
            metavar=name.rsplit(".")[-1].upper(),
            help=f"{field.description or ''}{default}".replace("%", "%%"),
        )

    evaluate = commands.add_parser("evaluate", help="score a run's best model, or an exported one")
    evaluate.set_defaults(run_command=_evaluate)
    evaluate.add_argument("model", type=Path, help="a run folder, or <store>/<name>/<version>")
    evaluate.add_argument("--data", type=Path, help="the dataset folder (default: the run's)")
    evaluate.add_argument("--split", default="val", help="default: val")
    evaluate.add_argument("--json", action="store_true", help="one JSON object instead of a table")

    export = commands.add_parser("export", help="write a run's best model as an artefact to serve")
    export.set_defaults(run_command=_export)
    export.add_argument("run_folder", type=Path, metavar="RUN")
    export.add_argument(
        "--store", type=Path, default=DEFAULT_STORE, help="default: the bundled zoo"
    )
    export.add_argument("--version", type=int, help="default: one more than the newest")
    return parser


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


def _user_errors() -> tuple[type[Exception], ...]:
    """The errors whose text is meant for the user. Those of modules not imported cannot have been raised."""
    named = (
        ("models.architectures.backbones", "BackboneWeightsError"),
        ("models.data.dataset", "DatasetError"),
        ("models.export.saved_model", "ExportError"),
    )
    loaded = [getattr(sys.modules[module], name) for module, name in named if module in sys.modules]
    return (RecipeError, ContractError, *loaded)


if __name__ == "__main__":
    sys.exit(main())
