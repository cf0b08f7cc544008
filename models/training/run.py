"""A run folder: what a training writes, and what it resumes from.

    recipe.toml  metrics.csv  tensorboard/  last.keras  best.keras  state.json  report.html  report.json  scores/<split>.json

Every file appears whole, and the state that counts is inside last.keras, so that a run ended at any moment can be resumed. state.json is a copy of it to read.
"""

import csv
import io
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import keras
import numpy as np
import tomli_w
from numpy.typing import NDArray

from models.contract import atomic
from models.training.checkpoint import load_network, read_state, save_checkpoint, save_network
from models.training.recipe import Recipe, RecipeError, read_recipe

RECIPE = "recipe.toml"
LAST = "last.keras"
BEST = "best.keras"
STATE = "state.json"
METRICS = "metrics.csv"


@dataclass(frozen=True)
class RunState:
    """How far a run is: whole epochs done, the best val mIoU and its epoch, the seconds spent.

    `steps_done` and `loss_sum` belong to the epoch that is running.
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


class Run:
    """One run folder and the recipe it was made by."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe

    @classmethod
    def begin(cls, folder: Path, recipe: Recipe, notes: Sequence[str] = ()) -> Self:
        """Make the folder, or resume the one that is there. Raises RecipeError where its recipe is another.

        `notes` become comments above the recipe that is written.
        """
        if is_run(folder) and cls.open(folder).state.has_checkpoint:
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
            comments = "".join(f"# {note}\n" for note in notes)
            atomic.write_text(folder / RECIPE, comments + tomli_w.dumps(document))
        return cls(folder, recipe)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a run folder that is there. Raises RecipeError."""
        return cls(folder, read_recipe(folder / RECIPE))

    @property
    def state(self) -> RunState:
        last, copy = self.folder / LAST, self.folder / STATE
        inside = read_state(last) if last.exists() else None
        if inside is None and copy.exists():  # a run of release 0.1
            inside = json.loads(copy.read_text())
        return RunState(**(inside or {}))

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
        """Add an epoch's row to metrics.csv, in place of those a killed run left of it and of later ones."""
        path = self.folder / METRICS
        rows: list[Mapping[str, str | float]] = [
            old for old in self.metrics() if int(old["epoch"]) < row["epoch"]
        ]
        rows.append(row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(row))
        writer.writeheader()
        writer.writerows(rows)
        atomic.write_text(path, text.getvalue())

    def metrics(self) -> list[dict[str, str]]:
        """The rows of metrics.csv, none where there is no such file."""
        path = self.folder / METRICS
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    def save_scores(
        self, split: str, summary: dict[str, float], class_iou: dict[str, float]
    ) -> None:
        """Keep what was scored on one split, for the model card. A score that is NaN is left out, an IoU is None."""
        path = self.folder / "scores" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        document = {
            "summary": {name: value for name, value in summary.items() if math.isfinite(value)},
            "class_iou": {n: None if math.isnan(iou) else iou for n, iou in class_iou.items()},
        }
        atomic.write_text(path, json.dumps(document, indent=2) + "\n")

    def scores(self) -> dict[str, SplitScores]:
        """The scores kept so far, by split."""
        paths = sorted((self.folder / "scores").glob("*.json"), reverse=True)  # val before test
        return {path.stem: SplitScores(**json.loads(path.read_text())) for path in paths}


def is_run(folder: Path) -> bool:
    """Whether `segtrain train` has begun a run there."""
    return (folder / RECIPE).is_file()


def load_best(folder: Path) -> keras.Model:
    """Load a run's best network, for another training to start from. Raises RecipeError."""
    if not (folder / BEST).is_file():
        raise RecipeError(
            f"{folder} is not a run with a validated epoch to start from; `segtrain train` makes one"
        )
    return load_network(folder / BEST)
