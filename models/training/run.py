"""A run folder: what a training writes, and what it resumes from.

    recipe.toml  dataset.json  metrics.csv  tensorboard/  last.keras  best.keras  state.json
    report.html  report.json  scores/<split>.json

Every file appears whole, and the state that counts is inside last.keras, so that a run ended at any
moment can be resumed. state.json is a copy of it to read.
"""

import csv
import io
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from models.architectures.start import is_exported
from models.contract import RECIPE_PATH, atomic
from models.contract.faults import first_fault
from models.data.record import DatasetRecord
from models.training.checkpoint import (
    DamagedFileError,
    load_network,
    read_state,
    save_checkpoint,
    save_network,
)
from models.training.recipe import Recipe, RecipeError, read_recipe

RECIPE = "recipe.toml"
LAST = "last.keras"
BEST = "best.keras"
STATE = "state.json"
METRICS = "metrics.csv"
RECORD = "dataset.json"

_IOU = "val_iou_"  # how the columns of the classes begin


@dataclass(frozen=True)
class RunState:
    """How far a run is: whole epochs done, the best val mIoU and its epoch, the seconds spent.

    Without validation that mIoU is below 0, and the epoch the last one that was kept. `steps_done`
    and `loss_sum` belong to the epoch that is running.
    """

    epochs_done: int = 0
    best_mean_iou: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0
    steps_done: int = 0
    loss_sum: float = 0.0

    @property
    def has_checkpoint(self) -> bool:
        """Whether a checkpoint was kept."""
        return self.epochs_done > 0 or self.steps_done > 0


@dataclass(frozen=True)
class SplitScores:
    """What `segtrain evaluate` found on one split; a class that does not occur there has no IoU."""

    summary: dict[str, float]
    class_iou: dict[str, float | None]
    robustness: dict[str, float] | None = None  # mean IoU by condition


class Run:
    """One run folder, the recipe it was made by, and what it was trained on."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe

    @classmethod
    def begin(
        cls, folder: Path, recipe: Recipe, record: DatasetRecord, notes: Sequence[str] = ()
    ) -> Self:
        """Make the folder anew. `notes` become comments above the recipe that is written."""
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder, with_absolute_paths(recipe))
        document = run.recipe.model_dump(mode="json", exclude_none=True)
        comments = "".join(f"# {note}\n" for note in notes)
        run.keep_record(record)
        atomic.write_text(folder / RECIPE, comments + tomli_w.dumps(document))
        return run

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a run folder that is there. Raises RecipeError."""
        return cls(folder, read_recipe(folder / RECIPE))

    @classmethod
    def resumable(cls, folder: Path, recipe: Recipe) -> Self | None:
        """The run in the folder that `recipe` resumes, None where none has begun there.

        Where the data lie may be another place; whether they are the same data is another question.
        Raises RecipeError where the run's recipe is another, and DamagedFileError.
        """
        if not is_run(folder) or not cls.open(folder).state.has_checkpoint:
            return None
        run = cls.open(folder)
        changed = _differing_fields(run.recipe, recipe)
        if changed:
            raise RecipeError(
                f"the run in {folder} has its own value of {', '.join(changed)}; "
                "resume it with its own recipe, or give another --run folder"
            )
        return cls(folder, recipe)

    @property
    def record(self) -> DatasetRecord | None:
        """What the run was trained on; None of a run of release 0.1. Raises DamagedFileError."""
        path = self.folder / RECORD
        if not path.exists():
            return None
        try:
            return DatasetRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise DamagedFileError(path, str(first_fault(error))) from error

    def keep_record(self, record: DatasetRecord) -> None:
        """Write what the run is trained on."""
        atomic.write_text(self.folder / RECORD, record.model_dump_json(indent=1) + "\n")

    def class_names(self) -> list[str] | None:
        """The classes it was trained on, of a run of release 0.1 by its metrics; None where it has
        none."""
        if (record := self.record) is not None:
            return [c.name for c in record.class_list.classes]
        rows = self.metrics()
        if not rows:
            return None
        return [name.removeprefix(_IOU) for name in rows[0] if name.startswith(_IOU)]

    @property
    def state(self) -> RunState:
        """How far the run is. Raises DamagedFileError."""
        last, copy = self.folder / LAST, self.folder / STATE
        inside = read_state(last) if last.exists() else None
        if inside is None and copy.exists():  # a run of release 0.1
            inside = _read_json(copy)
        try:
            return RunState(**(inside or {}))
        except TypeError as error:
            raise DamagedFileError(last if last.exists() else copy, error) from error

    def save_best(self, network: keras.Model) -> None:
        """Keep a network as the best one so far."""
        save_network(network, self.folder / BEST)
        shutil.rmtree(self.folder / "scores", ignore_errors=True)  # they are an older model's

    def save_last(
        self, network: keras.Model, state: RunState, arrays: dict[str, NDArray[np.generic]]
    ) -> None:
        """Keep what the run resumes from."""
        document = asdict(state)
        save_checkpoint(self.folder / LAST, network, document, arrays)
        atomic.write_text(self.folder / STATE, json.dumps(document, indent=2) + "\n")

    def append_metrics(self, row: dict[str, float]) -> None:
        """Add an epoch's row to metrics.csv, in place of those a killed run left of it and of later
        ones."""
        rows: list[Mapping[str, str | float]] = [
            old for old in self.metrics() if int(old["epoch"]) < row["epoch"]
        ]
        rows.append(row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(row))
        writer.writeheader()
        writer.writerows(rows)
        atomic.write_text(self.folder / METRICS, text.getvalue())

    def metrics(self) -> list[dict[str, str]]:
        """The rows of metrics.csv, numbers all, none where there is no such file. Raises
        DamagedFileError."""
        path = self.folder / METRICS
        if not path.exists():
            return []
        try:
            with path.open(newline="") as file:
                return _read_rows(csv.DictReader(file))
        except (ValueError, csv.Error) as error:
            raise DamagedFileError(path, error) from error

    def save_scores(
        self,
        split: str,
        summary: dict[str, float],
        class_iou: dict[str, float],
        robustness: Mapping[str, float] | None = None,
    ) -> None:
        """Keep what was scored on one split, for the model card. A score that is NaN is left out,
        an IoU is None. Without `robustness`, that of the same scores is kept."""
        path = self.folder / "scores" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        if robustness is None and split in (kept := self.scores()):
            robustness = kept[split].robustness
        document = {
            "summary": {name: value for name, value in summary.items() if math.isfinite(value)},
            "class_iou": {n: None if math.isnan(iou) else iou for n, iou in class_iou.items()},
            "robustness": robustness and dict(robustness),
        }
        atomic.write_text(path, json.dumps(document, indent=2) + "\n")

    def scores(self) -> dict[str, SplitScores]:
        """The scores kept so far, by split. Raises DamagedFileError."""
        scores = {}
        paths = sorted((self.folder / "scores").glob("*.json"), reverse=True)  # val before test
        for path in paths:
            try:
                scores[path.stem] = TypeAdapter(SplitScores).validate_json(path.read_bytes())
            except ValidationError as error:
                raise DamagedFileError(path, str(first_fault(error))) from error
        return scores


def is_run(folder: Path) -> bool:
    """Whether `segtrain train` has begun a run there."""
    return (folder / RECIPE).is_file()


def load_best(folder: Path) -> keras.Model:
    """Load a run's best network, for another training. Raises RecipeError."""
    if not (folder / BEST).is_file():
        raise RecipeError(
            f"{folder} is not a run with a validated epoch; `segtrain train` makes one"
        )
    return load_network(folder / BEST)


def recipe_of_trained(folder: Path) -> Recipe:
    """The recipe by which a run or an exported model was trained. Raises RecipeError."""
    if is_run(folder):
        return Run.open(folder).recipe
    if not is_exported(folder):
        raise RecipeError(
            f"{folder} is neither a run nor an exported model (MODEL/VERSION), so nothing can "
            "start from it"
        )
    if not (folder / RECIPE_PATH).is_file():
        raise RecipeError(f"{folder} was adopted, so it has no recipe of a network to start from")
    return read_recipe(folder / RECIPE_PATH)


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe as it is meant here, to be read from any folder."""
    network, layout = recipe.network, recipe.layout
    weights, coarser, palette = network.weights, network.initialize_from, layout.palette
    if weights is not None and Path(weights).expanduser().exists():
        weights = str(_absolute(Path(weights)))
    return recipe.model_copy(
        update={
            "data": _absolute(recipe.data),
            "layout": layout.model_copy(update={"palette": palette and _absolute(palette)}),
            "network": network.model_copy(
                update={"weights": weights, "initialize_from": coarser and _absolute(coarser)}
            ),
            "distillation": recipe.distillation.model_copy(
                update={"teachers": tuple(map(_absolute, recipe.distillation.teachers))}
            ),
        }
    )


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _differing_fields(kept: Recipe, asked: Recipe) -> list[str]:
    """The fields in which two recipes differ, but for where the data and their palette lie, as
    "table.field"."""
    own, other = (
        _flat(with_absolute_paths(recipe).model_dump(exclude={"data": True, "layout": {"palette"}}))
        for recipe in (kept, asked)
    )
    return [field for field in other if own.get(field) != other[field]]


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _read_rows(reader: "csv.DictReader[str]") -> list[dict[str, str]]:
    """Rows of numbers with an epoch each. Raises ValueError."""
    if "epoch" not in (reader.fieldnames or ()):
        raise ValueError("its first line does not name the columns")
    rows = []
    for row in reader:
        if None in row or not all(map(_is_number, row.values())):
            raise ValueError(
                f"line {reader.line_num} is not a row of numbers as long as the first line"
            )
        rows.append(row)
    return rows


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedFileError(path, error) from error
    return document
