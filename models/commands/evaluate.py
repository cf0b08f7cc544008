"""`segtrain evaluate`: score a run's best model, or an exported one, on a split."""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.commands.command import Commands
from models.contract import ContractError, StoredPrecision, openvino_path, read_contract
from models.training.recipe import RecipeError

if TYPE_CHECKING:
    from models.data.dataset import Dataset
    from models.training.evaluation import Predict
    from models.training.run import Run

# The file that is run, and what is computed where it is not int8.
OPENVINO_ENGINES: dict[str, tuple[StoredPrecision, Literal["fp32", "bf16"]]] = {
    "openvino-fp32": ("fp32", "fp32"),
    "openvino-bf16": ("fp32", "bf16"),
    "openvino-int8": ("int8", "fp32"),
}


def add_command(commands: Commands) -> None:
    evaluate = commands.add_parser("evaluate", help="score a run's best model, or an exported one")
    evaluate.set_defaults(run_command=_evaluate)
    evaluate.add_argument("model", type=Path, help="a run folder, or <store>/<name>/<version>")
    evaluate.add_argument("--data", type=Path, help="the dataset folder (default: the run's)")
    evaluate.add_argument("--split", default="val", help="default: val")
    evaluate.add_argument(
        "--engine",
        choices=("tensorflow", *OPENVINO_ENGINES),
        default="tensorflow",
        help="what runs an exported model (default: tensorflow)",
    )
    evaluate.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def _evaluate(parsed: argparse.Namespace) -> None:
    from models.data.reading import read_dataset
    from models.training.evaluation import evaluate, network_predict
    from models.training.run import BEST, Run, is_run, load_network

    run = Run.open(parsed.model) if is_run(parsed.model) else None
    if run is None and not (parsed.model / "saved_model.pb").is_file():
        raise RecipeError(f"{parsed.model} is neither a run folder nor an exported model")
    if run is None and parsed.data is None:
        raise RecipeError("an exported model does not know its dataset's folder; say --data FOLDER")
    if run is not None and not (run.folder / BEST).is_file():
        raise RecipeError(f"{run.folder} has no whole epoch yet; `segtrain train` goes on with it")
    if parsed.data is not None or run is None:
        dataset = read_dataset(parsed.data)
    else:
        dataset = read_dataset(run.recipe.data, run.recipe.split, run.recipe.layout)
    if run is not None and parsed.engine != "tensorflow":
        raise RecipeError(f"{parsed.model} is a run; {parsed.engine} scores exported models")
    classes = dataset.class_list.classes
    require_same_task(run, parsed.model, dataset)
    predict = (
        network_predict(load_network(run.folder / BEST))
        if run
        else _artefact_predict(parsed.model, parsed.engine)
    )
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


def _artefact_predict(artefact: Path, engine: str) -> "Predict":
    """Raise ContractError where the artefact holds no files for `engine`."""
    from models.training.evaluation import openvino_predict, saved_model_predict

    if engine == "tensorflow":
        return saved_model_predict(artefact)
    stored, computed = OPENVINO_ENGINES[engine]
    held = read_contract(artefact).openvino_precisions
    if stored not in held:
        raise ContractError(
            f"{artefact} holds no OpenVINO files of {stored}; it holds {', '.join(held) or 'none'}"
        )
    return openvino_predict(artefact / openvino_path(stored), computed)


def require_same_task(run: "Run | None", artefact: Path, dataset: "Dataset") -> None:
    """Raise RecipeError where the model has other classes or channels than the dataset."""
    from models.data.reading import read_dataset

    if run is not None:
        trained_on = read_dataset(run.recipe.data, run.recipe.split, run.recipe.layout)
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
