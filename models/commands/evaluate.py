"""`segtrain evaluate`: score a run's best model, or an exported one, on a split."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.commands.command import Commands
from models.contract import ContractError, StoredPrecision, openvino_path, read_contract
from models.training.recipe import RecipeError

if TYPE_CHECKING:
    from models.data.dataset import Dataset
    from models.training.evaluation import Predictor
    from models.training.run import Run

BATCH_SIZE = 4
AS_IT_IS = "as it is"

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
    evaluate.add_argument(
        "--flip", action="store_true", help="average each image with its mirror image"
    )
    evaluate.add_argument(
        "--window", type=_window, metavar="H,W", help="slide a window of this size over each image"
    )
    evaluate.add_argument("--report", type=Path, help="write a page to look at, and its numbers")
    evaluate.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def _window(text: str) -> tuple[int, int]:
    sides = text.split(",")
    if len(sides) != 2 or not all(side.strip().isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no height and width in pixels, such as 512,512"
        )
    return int(sides[0]), int(sides[1])


def _evaluate(parsed: argparse.Namespace) -> None:
    from models.training.assessment import assess
    from models.training.report import write_report
    from models.training.run import Run, is_run

    run = Run.open(parsed.model) if is_run(parsed.model) else None
    dataset = _dataset(parsed, run)
    require_same_task(run, parsed.model, dataset)
    predictor, way = _predictor(parsed, run)
    assessment = assess(predictor, dataset, parsed.split, batch_size=BATCH_SIZE, way=way)
    # Scores on other data, or by another way, are not this model's card's.
    if run and parsed.data is None and way == AS_IT_IS:
        ious = {name: values["iou"] for name, values in assessment.by_class().items()}
        run.save_scores(parsed.split, assessment.summary(), ious)
    if parsed.report:
        name = run.recipe.name if run else read_contract(parsed.model).name
        write_report(parsed.report, assessment, predictor, name, run)
    if parsed.json:
        print(json.dumps(assessment.document()))
        return
    for name, value in assessment.summary().items():
        print(f"{name.replace('_', ' '):24} {value:.4f}")
    for name, values in assessment.by_class().items():
        print(f"  IoU {name:20} {values['iou']:.4f}   Dice {values['dice']:.4f}")


def _dataset(parsed: argparse.Namespace, run: "Run | None") -> "Dataset":
    from models.data.reading import read_dataset
    from models.training.run import BEST

    if run is None:
        if not (parsed.model / "saved_model.pb").is_file():
            raise RecipeError(f"{parsed.model} is neither a run folder nor an exported model")
        if parsed.data is None:
            raise RecipeError(
                "an exported model does not know its dataset's folder; say --data FOLDER"
            )
        return read_dataset(parsed.data)
    if not (run.folder / BEST).is_file():
        raise RecipeError(f"{run.folder} has no whole epoch yet; `segtrain train` goes on with it")
    if parsed.engine != "tensorflow":
        raise RecipeError(f"{parsed.model} is a run; {parsed.engine} scores exported models")
    if parsed.data is not None:
        return read_dataset(parsed.data)
    return read_dataset(run.recipe.data, run.recipe.split, run.recipe.layout)


def _predictor(parsed: argparse.Namespace, run: "Run | None") -> "tuple[Predictor, str]":
    """What predicts, and in words how images are shown to it."""
    from models.training.checkpoint import load_network
    from models.training.evaluation import flipped, network_predictor, windowed
    from models.training.run import BEST

    predictor = (
        network_predictor(load_network(run.folder / BEST))
        if run
        else _artefact_predictor(parsed.model, parsed.engine)
    )
    ways = []
    if parsed.window:
        predictor = windowed(predictor, parsed.window)
        ways.append("in windows of {}×{}".format(*parsed.window))
    if parsed.flip:
        predictor = flipped(predictor)
        ways.append("together with its mirror image")
    return predictor, ", ".join(ways) or AS_IT_IS


def _artefact_predictor(artefact: Path, engine: str) -> "Predictor":
    """Raise ContractError where the artefact holds no files for `engine`."""
    from models.training.evaluation import openvino_predictor, saved_model_predictor

    if engine == "tensorflow":
        return saved_model_predictor(artefact)
    stored, computed = OPENVINO_ENGINES[engine]
    held = read_contract(artefact).openvino_precisions
    if stored not in held:
        raise ContractError(
            f"{artefact} holds no OpenVINO files of {stored}; it holds {', '.join(held) or 'none'}"
        )
    return openvino_predictor(artefact / openvino_path(stored), computed)


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
