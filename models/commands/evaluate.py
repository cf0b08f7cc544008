"""`segtrain evaluate`: score a run's best model, or an exported one, on a split."""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from models.commands.command import Commands
from models.contract import read_contract
from models.training.recipe import RecipeError

if TYPE_CHECKING:
    from models.data.dataset import Dataset
    from models.training.run import Run


def add_command(commands: Commands) -> None:
    evaluate = commands.add_parser("evaluate", help="score a run's best model, or an exported one")
    evaluate.set_defaults(run_command=_evaluate)
    evaluate.add_argument("model", type=Path, help="a run folder, or <store>/<name>/<version>")
    evaluate.add_argument("--data", type=Path, help="the dataset folder (default: the run's)")
    evaluate.add_argument("--split", default="val", help="default: val")
    evaluate.add_argument(
        "--flip", action="store_true", help="average each image with its mirror image"
    )
    evaluate.add_argument(
        "--window", type=_window, metavar="H,W", help="slide a window of this size over each image"
    )
    evaluate.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def _window(text: str) -> tuple[int, int]:
    height, width = (int(side) for side in text.split(","))
    if min(height, width) < 1:
        raise ValueError
    return height, width


def _evaluate(parsed: argparse.Namespace) -> None:
    from models.data.dataset import read_dataset
    from models.training.checkpoint import load_network
    from models.training.evaluation import (
        evaluate,
        flipped,
        network_predictor,
        saved_model_predictor,
        windowed,
    )
    from models.training.run import BEST, Run, is_run

    run = Run.open(parsed.model) if is_run(parsed.model) else None
    if run is None and not (parsed.model / "saved_model.pb").is_file():
        raise RecipeError(f"{parsed.model} is neither a run folder nor an exported model")
    if run is None and parsed.data is None:
        raise RecipeError("an exported model does not know its dataset's folder; say --data FOLDER")
    if run is not None and not (run.folder / BEST).is_file():
        raise RecipeError(f"{run.folder} has no whole epoch yet; `segtrain train` goes on with it")
    dataset = read_dataset(parsed.data or run.recipe.data)  # type: ignore[union-attr]
    _require_same_task(run, parsed.model, dataset)
    predictor = (
        network_predictor(load_network(run.folder / BEST))
        if run
        else saved_model_predictor(parsed.model)
    )
    if parsed.window:
        predictor = windowed(predictor, parsed.window)
    if parsed.flip:
        predictor = flipped(predictor)
    classes = dataset.class_list.classes
    scores = evaluate(predictor, dataset, parsed.split, batch_size=4).scores()
    by_class = dict(zip((c.name for c in classes), scores.class_iou.tolist(), strict=True))
    as_it_is = not (parsed.flip or parsed.window)
    if run and parsed.data is None and as_it_is:  # scores on other data are not this model's card's
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
