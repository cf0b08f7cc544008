"""`segtrain evaluate`: score a run's best model, or an exported one, on a split."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.commands.command import import_tensorflow
from models.commands.fields import add_recipe_flags, data_options, given_fields
from models.contract import (
    CONTRACT_PATH,
    RECIPE_PATH,
    ContractError,
    Scale,
    StoredPrecision,
    openvino_path,
    read_contract,
)
from models.contract.working_size import ScaleRequest
from models.training.recipe import RecipeError, read_recipe

if TYPE_CHECKING:
    from models.data.dataset import Dataset
    from models.training.evaluation import Predictor
    from models.training.run import Run

BATCH_SIZE = 4

# The file that is run, and what is computed where it is not int8.
OPENVINO_ENGINES: dict[str, tuple[StoredPrecision, Literal["fp32", "bf16"]]] = {
    "openvino-fp32": ("fp32", "fp32"),
    "openvino-bf16": ("fp32", "bf16"),
    "openvino-int8": ("int8", "fp32"),
}


HELP = "score a run's best model, or an exported one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a run folder, or <store>/<name>/<version>")
    parser.add_argument("--data", type=Path, help="the dataset folder (default: the run's)")
    parser.add_argument("--split", default="val", help="default: val")
    parser.add_argument(
        "--engine",
        choices=("tensorflow", *OPENVINO_ENGINES, "onnx"),
        help="what runs an exported or adopted model (default: tensorflow; openvino-fp32 or onnx "
        "where it holds no SavedModel)",
    )
    parser.add_argument(
        "--flip", action="store_true", help="average each image with its mirror image"
    )
    parser.add_argument(
        "--window", type=_window, metavar="H,W", help="slide a window of this size over each image"
    )
    parser.add_argument(
        "--scale",
        type=_scale,
        default="auto",
        help="the size at which the model sees images: auto, as it is served (default), native, a "
        "factor such as 0.5, or longest=1024",
    )
    parser.add_argument(
        "--precision",
        type=_class_precision,
        nargs="+",
        action="extend",
        default=[],
        metavar="CLASS=SHARE",
        help="find the confidence above which this share of a class's pixels is right on val, such "
        "as car=0.95, and keep it in the contract, where min_confidence=auto takes it",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="score at half and twice the working size too, blurred, with noise, as JPEG 30, and "
        "with -2 to +2 stops of light; kept for the model card",
    )
    parser.add_argument("--report", type=Path, help="write a page to look at, and its numbers")
    add_recipe_flags(
        parser.add_argument_group("data", "where the folder alone does not say it"),
        ("split", "layout"),
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def _window(text: str) -> tuple[int, int]:
    sides = text.split(",")
    if len(sides) != 2 or not all(side.strip().isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a height and width in pixels, such as 512,512"
        )
    return int(sides[0]), int(sides[1])


def _class_precision(text: str) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    try:
        share = float(number)
    except ValueError:
        share = 0.0
    if not equals or not name or not 0 < share <= 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a class and the share of its pixels that is right, such as car=0.95"
        )
    return name, share


def _scale(text: str) -> ScaleRequest:
    try:
        return ScaleRequest.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def run(parsed: argparse.Namespace) -> None:
    """Score, print, and keep the scores where they are the run's own; or choose operating
    points."""
    import_tensorflow()
    if parsed.precision:
        _choose_points(parsed)
        return
    from models.commands.scores import keep_scores, print_scores
    from models.training.assessment import SINGLE_PASS, assess
    from models.training.report import write_report
    from models.training.run import Run, is_run
    from models.training.scaled import scale_in_words

    run = Run.open(parsed.model) if is_run(parsed.model) else None
    dataset = _dataset(parsed, run)
    are_own = _examine(parsed, run, dataset)
    model_scale = _model_scale(parsed, run)
    predictor, mode = _predictor(parsed, run, model_scale)
    assessment = assess(
        predictor,
        dataset,
        parsed.split,
        batch_size=BATCH_SIZE,
        inference_mode=mode,
        scale=scale_in_words(model_scale, parsed.scale),
        temperatures=None if run else _temperatures(parsed.model, parsed.engine),
    )
    if parsed.robustness:
        assessment = replace(assessment, robustness=_robustness(parsed, run, dataset, model_scale))
    # Scores on other data, or in another mode, are not this model's card's.
    if mode == SINGLE_PASS and parsed.scale.kind == "auto" and (are_own or run is None):
        keep_scores(assessment, run or parsed.model)
    if parsed.report:
        name = run.recipe.name if run else read_contract(parsed.model).name
        write_report(parsed.report, assessment, predictor, name, run)
    if parsed.json:
        print(json.dumps(assessment.document()))
    else:
        print_scores(assessment)


def _robustness(
    parsed: argparse.Namespace, run: "Run | None", dataset: "Dataset", scale: Scale | None
) -> dict[str, float]:
    from models.training.robustness import measure_robustness

    def predictor_at(factor: float) -> "Predictor":
        return _predictor(parsed, run, scale, factor)[0]

    return measure_robustness(predictor_at, dataset, parsed.split, batch_size=BATCH_SIZE)


def _choose_points(parsed: argparse.Namespace) -> None:
    """Raises RecipeError, DatasetError, ContractError and PrecisionError."""
    from models.export.operating_points import choose_on
    from models.export.rewriting import rewrite
    from models.training.run import is_run

    if is_run(parsed.model):
        raise RecipeError(
            f"{parsed.model} is a run; operating points are kept by exported models: segtrain "
            "export it first"
        )
    if parsed.split != "val":
        raise RecipeError("operating points are chosen on val alone; leave --split out")
    dataset = _dataset(parsed, None)
    _examine(parsed, None, dataset)
    rewrite(parsed.model, choose_on(dataset, dict(parsed.precision)))
    points = read_contract(parsed.model).operating_points or {}
    for precision, of_classes in points.items():
        for name, point in of_classes.items():
            print(
                f"{precision:5} {name:20} min_confidence {point.min_confidence:.4f}   precision "
                f"{point.precision:.4f}   recall {point.recall:.4f}"
            )


def _dataset(parsed: argparse.Namespace, run: "Run | None") -> "Dataset":
    """The data to score on, of the model's kind. Raises RecipeError and DatasetError."""
    from models.training.run import BEST

    if run is None:
        if not (parsed.model / CONTRACT_PATH).is_file():
            raise RecipeError(f"{parsed.model} is neither a run folder nor an exported model")
        if parsed.data is None:
            raise RecipeError(
                "an exported model does not know its dataset's folder; say --data FOLDER"
            )
        return data_of_artefact(parsed.model, parsed.data, given_fields(parsed))
    if not (run.folder / BEST).is_file():
        raise RecipeError(
            f"{run.folder} has no epoch that was validated yet; run `segtrain train` again to "
            "resume it"
        )
    if parsed.engine not in (None, "tensorflow"):
        raise RecipeError(f"{parsed.model} is a run; {parsed.engine} scores exported models")
    return _data_of_run(run, parsed.data, given_fields(parsed))


def _data_of_run(run: "Run", folder: Path | None, changes: dict[str, Any]) -> "Dataset":
    """The data that a run was trained on, or others of its kind; divided as for its training where
    nothing else is said.

    Raises RecipeError where their classes or channels are others, and DatasetError.
    """
    from models.data.reading import read_dataset

    if folder is None and not run.recipe.data.is_dir():
        raise RecipeError(
            f"{run.folder} was trained on {run.recipe.data}, which is not there; say where its "
            "data are now: --data FOLDER"
        )
    dataset = read_dataset(folder or run.recipe.data, *data_options(changes, run.recipe))
    record = run.record
    require_same_task(run.class_names(), record.channels if record else None, dataset)
    return dataset.with_intensity(record.intensity if record else None)


def _examine(parsed: argparse.Namespace, run: "Run | None", dataset: "Dataset") -> bool:
    """Read what is to be scored on, unless the run did and no file has changed since. Whether it is
    the run's own split.

    Raises DatasetError for the first fault that is found, and RecipeError where the run has learned
    from these pictures.
    """
    from models.data.examination import examine
    from models.data.record import picture_digests, split_record

    record, split = run.record if run else None, parsed.split
    if record and record.has_read((split,)) and record.is_of(dataset):
        return True
    examination = examine(dataset, (split,))
    examination.raise_on_error()
    if run is None:
        return False
    if record is None:  # a run of release 0.1
        return parsed.data is None and not given_fields(parsed)
    learned = picture_digests(examination.digests[split]) & set(record.learned)
    if learned and split != "train":
        example = next(d.name for d in examination.digests[split] if d.picture in learned)
        raise RecipeError(
            f"{run.folder} was trained on {len(learned)} of the {len(examination.digests[split])} "
            f"pictures of {split} in {dataset.folder}, such as {example}, so that a score on them "
            "says nothing. Leave them out; to hold a split back, say split.test or split.fraction "
            "before a training"
        )
    kept = record.splits.get(split)
    own = kept is not None and kept.pictures == split_record(examination, split).pictures
    if not own and parsed.data is None and not given_fields(parsed):
        print(
            f"segtrain: {split} in {dataset.folder} is not what it was when {run.folder} was "
            "trained; its scores do not reach the model card",
            file=sys.stderr,
        )
    return own


def data_of_artefact(artefact: Path, folder: Path, changes: dict[str, Any]) -> "Dataset":
    """Data for an exported model, divided as for its training where nothing else is said. A model
    that was trained on its own val is warned of where there is a val again.

    Raises RecipeError where its classes or channels are others; DatasetError.
    """
    from models.data.reading import read_dataset

    path = artefact / RECIPE_PATH
    recipe = read_recipe(path) if path.is_file() else None  # adopted models have none
    contract = read_contract(artefact)
    dataset = read_dataset(folder, *data_options(changes, recipe)).with_intensity(
        contract.intensity
    )
    require_same_task([c.name for c in contract.classes], contract.channels, dataset)
    if recipe and not recipe.split.validation and dataset.splits.get("val"):
        print(
            f"segtrain: {contract.name} was trained on val of its own data too (split.validation = "
            f"false); what val of {folder} says of it holds only where its images are others",
            file=sys.stderr,
        )
    return dataset


def _model_scale(parsed: argparse.Namespace, run: "Run | None") -> Scale | None:
    """At which size the model knows its objects; None is native."""
    if run is None:
        return read_contract(parsed.model).scale
    found = run.record.preprocessing if run.record else None
    return found.scale if found else None


def _predictor(
    parsed: argparse.Namespace, run: "Run | None", scale: Scale | None, factor: float = 1.0
) -> "tuple[Predictor, str]":
    """What predicts images shown at `factor` of the working size, and its inference mode."""
    from models.training.assessment import SINGLE_PASS
    from models.training.checkpoint import load_network
    from models.training.evaluation import network_predictor, with_flip, with_sliding_window
    from models.training.run import BEST
    from models.training.scaled import with_scale

    predictor = (
        network_predictor(load_network(run.folder / BEST))
        if run
        else _artefact_predictor(parsed.model, parsed.engine)
    )
    modes = []
    if parsed.window:
        predictor = with_sliding_window(predictor, parsed.window)
        modes.append("sliding_window_{}x{}".format(*parsed.window))
    predictor = with_scale(predictor, scale, parsed.scale, factor)
    if parsed.flip:
        predictor = with_flip(predictor)
        modes.append("flip")
    return predictor, "+".join(modes) or SINGLE_PASS


def _temperatures(artefact: Path, said: str | None) -> tuple[float, ...] | None:
    """Those that the artefact's probabilities are served with, one a class."""
    contract = read_contract(artefact)
    stored = OPENVINO_ENGINES[said][0] if said in OPENVINO_ENGINES else "fp32"
    fitted = (contract.calibration or {}).get(stored)
    return None if fitted is None else fitted.temperatures(len(contract.classes))


def _artefact_predictor(artefact: Path, said: str | None) -> "Predictor":
    """Raise ContractError where the artefact holds no files for the engine."""
    from models.export.predictors import (
        default_engine,
        onnx_file_predictor,
        openvino_file_predictor,
        tensorflow_predictor,
    )

    contract = read_contract(artefact)
    engine = said or default_engine(contract)
    if engine == "onnx":
        return onnx_file_predictor(artefact, contract)
    if engine == "tensorflow":
        if "tensorflow" not in contract.runtimes:
            raise ContractError(f"{artefact} holds no SavedModel; say --engine openvino-fp32")
        return tensorflow_predictor(artefact, contract)
    stored, computed = OPENVINO_ENGINES[engine]
    held = contract.openvino_precisions
    if stored not in held:
        raise ContractError(
            f"{artefact} holds no OpenVINO files of {stored}; it holds {', '.join(held) or 'none'}"
        )
    return openvino_file_predictor(artefact / openvino_path(stored), contract, computed)


def require_same_task(
    names: Sequence[str] | None, channels: int | None, dataset: "Dataset"
) -> None:
    """Raise RecipeError where the model has other classes or channels than the data set; None is
    not known."""
    data = [c.name for c in dataset.class_list.classes]
    names = data if names is None else names
    channels = dataset.channels if channels is None else channels
    if len(names) != len(data) or channels != dataset.channels:
        raise RecipeError(
            f"the model has {len(names)} classes and {channels} channels, the data in "
            f"{dataset.folder} {len(data)} and {dataset.channels}; score it on data of its own kind"
        )
    for class_id, (own, other) in enumerate(zip(names, data, strict=True)):
        if own != other:
            raise RecipeError(
                f"class {class_id} is {own!r} to the model and {other!r} in {dataset.folder}; "
                "score it on data of its own kind, or give the classes there the model's names"
            )
