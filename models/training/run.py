"""A run folder: what a training writes, and what it goes on from.

    recipe.toml  metrics.csv  state.json  last.keras  best.keras  scores/<split>.json

Every file is written beside and renamed, so that a run ended at any moment can be resumed.
"""

import csv
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import keras
import tomli_w

from models.architectures.networks import CUSTOM_OBJECTS
from models.training.losses import WeightedCrossEntropy
from models.training.recipe import Recipe, RecipeError, read_recipe
from models.training.schedules import WarmUpDecay

RECIPE = "recipe.toml"
LAST = "last.keras"
BEST = "best.keras"

_CUSTOM_OBJECTS = CUSTOM_OBJECTS | {
    "WarmUpDecay": WarmUpDecay,
    "WeightedCrossEntropy": WeightedCrossEntropy,
}


@dataclass(frozen=True)
class RunState:
    """How far a run is: whole epochs done, the best val mIoU and its epoch, the seconds spent."""

    epochs_done: int = 0
    best_mean_iou: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class SplitScores:
    """What `segtrain evaluate` found on one split; a class that does not occur there has no IoU."""

    summary: dict[str, float]
    class_iou: dict[str, float | None]


class Run:
    """One run folder and the recipe it was made by."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe

    @classmethod
    def begin(cls, folder: Path, recipe: Recipe) -> Self:
        """Make the folder, or go on with the one that is there. Raises RecipeError where its recipe is another."""
        if is_run(folder) and cls.open(folder).state.epochs_done > 0:
            kept = cls.open(folder).recipe
            changed = [key for key, value in recipe if getattr(kept, key) != value]
            if changed:
                raise RecipeError(
                    f"{folder} holds a run with another {', '.join(changed)}; "
                    "resume with the same recipe, or give another --run folder"
                )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            document = recipe.model_dump(mode="json", exclude_none=True)
            _replace(folder / RECIPE, tomli_w.dumps(document))
        return cls(folder, recipe)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a run folder that is there. Raises RecipeError."""
        return cls(folder, read_recipe(folder / RECIPE))

    @property
    def state(self) -> RunState:
        path = self.folder / "state.json"
        return RunState(**json.loads(path.read_text())) if path.exists() else RunState()

    def save_epoch(self, model: keras.Model, state: RunState, row: dict[str, float]) -> None:
        """Keep the model as the last one, and as the best one if it is; add a row to the metrics; then the state."""
        _save(model, self.folder / LAST)
        if state.best_epoch == state.epochs_done:
            _save(model, self.folder / BEST)
            shutil.rmtree(self.folder / "scores", ignore_errors=True)  # they are an older model's
        self._append(row)
        _replace(self.folder / "state.json", json.dumps(asdict(state), indent=2) + "\n")

    def load(self, name: str) -> keras.Model:
        """Load `LAST` or `BEST` with its optimizer's state."""
        return load_network(self.folder / name)

    def save_scores(
        self, split: str, summary: dict[str, float], class_iou: dict[str, float]
    ) -> None:
        """Keep what was scored on one split, for the model card."""
        path = self.folder / "scores" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        ious = {name: None if math.isnan(iou) else iou for name, iou in class_iou.items()}
        _replace(path, json.dumps({"summary": summary, "class_iou": ious}, indent=2) + "\n")

    def scores(self) -> dict[str, SplitScores]:
        """The scores kept so far, by split."""
        paths = sorted((self.folder / "scores").glob("*.json"), reverse=True)  # val before test
        return {path.stem: SplitScores(**json.loads(path.read_text())) for path in paths}

    def _append(self, row: dict[str, float]) -> None:
        path = self.folder / "metrics.csv"
        rows: list[Mapping[str, str | float]] = []
        if path.exists():
            with path.open(newline="") as file:
                # A run killed between this file and the state redoes its epoch.
                rows.extend(old for old in csv.DictReader(file) if int(old["epoch"]) < row["epoch"])
        rows.append(dict(row))
        beside = path.with_suffix(".partial")
        with beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerows(rows)
        beside.replace(path)


def is_run(folder: Path) -> bool:
    """Whether `segtrain train` has begun a run there."""
    return (folder / RECIPE).is_file()


def load_network(path: Path) -> keras.Model:
    """Load a `.keras` file of ours."""
    return keras.models.load_model(path, custom_objects=_CUSTOM_OBJECTS)


def load_best(folder: Path) -> keras.Model:
    """Load a run's best network, for another training to start from. Raises RecipeError."""
    if not (folder / BEST).is_file():
        raise RecipeError(
            f"{folder} is no run with a whole epoch to start from; `segtrain train` makes one"
        )
    return load_network(folder / BEST)


def _save(model: keras.Model, path: Path) -> None:
    beside = path.with_name(f"partial_{path.name}")  # Keras goes by the suffix
    model.save(beside)
    beside.replace(path)


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".partial")
    beside.write_text(text)
    beside.replace(path)
