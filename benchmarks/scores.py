"""Question: what does each recipe reach, run from scratch by its command, beside what is published?

    .venv/bin/python -m benchmarks.scores --data SETS --backbone MOBILENET_V2_WEIGHTS
    .venv/bin/python -m benchmarks.scores_report    # the table of README.md

It takes 3 hours on two quiet cores, and resumes.

SETS is a folder with one data set a subfolder, named as in `HEADLINES`. Val chooses the epoch;
test, where there is one, is scored once at the end, the images as they are (no mirror image, no
windows). A finished run in RUNS is not trained again, an unfinished one goes on.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.measuring import describe_machine
from models.contract import atomic
from models.training.recipe import read_recipe
from models.training.run import Run

RESULTS = Path(__file__).parent / "results" / "scores.json"
RECIPES = Path(__file__).parents[1] / "models" / "recipes"

Document = dict[str, Any]


@dataclass(frozen=True)
class Headline:
    """The one score that a data set is known by, and what others published of it."""

    metric: Literal["mean IoU", "mean IoU of the classes there", "IoU", "F1", "pixel error"]
    published: str
    class_name: str | None = None
    split: Literal["test", "val"] = "test"

    @property
    def label(self) -> str:
        return f"{self.class_name} {self.metric}" if self.class_name else self.metric

    def of(self, document: Document) -> float:
        """The score in what `segtrain evaluate --json` printed."""
        if self.class_name:
            kind = {"IoU": "class_iou", "F1": "class_dice"}[self.metric]
            return float(document[kind][self.class_name])
        if self.metric == "mean IoU of the classes there":
            # A class that the class maps alone hold has an IoU, 0, and no accuracy.
            accuracy = document["class_accuracy"]
            there = [
                float(iou)
                for name, iou in document["class_iou"].items()
                if accuracy[name] is not None
            ]
            return statistics.mean(there)
        return float(document[{"mean IoU": "mean_iou", "pixel error": "pixel_error"}[self.metric]])


# By recipe. The data set is the recipe's own `data`, looked for in SETS.
HEADLINES: dict[str, Headline] = {
    "street": Headline(
        "mean IoU", "FCN-8s 0.570, FC-DenseNet103 0.669, LETNet 0.705 (train + val)"
    ),
    "street_robust": Headline("mean IoU", "–"),
    "nuclei": Headline("IoU", "U-Net 0.839 (at 96×96)", "nucleus"),
    "membranes": Headline("pixel error", "U-Net 0.0611 (on the challenge's test)", split="val"),
    "vessels": Headline("F1", "U-Net about 0.81", "vessel"),
    "cells": Headline("IoU", "U-Net 0.7756 (20 images)", "cell"),
    "pets": Headline("mean IoU", "–"),
    "aerial": Headline("mean IoU of the classes there", "–"),
}

# The recipe whose run, of the same seed, another one goes on from.
STARTS = {"street_robust": "street"}


def score(recipe: str, seed: int, sets: Path, backbone: Path, runs: Path) -> Document:
    """Train where that is not done, evaluate on val and test, and tell of it."""
    path = RECIPES / f"{recipe}.toml"
    data = sets / read_recipe(path).data
    folder = runs / f"{recipe}-{seed}"
    command = ["train", str(path), "--data", str(data), "--run", str(folder), "--seed", str(seed)]
    if read_recipe(path).network.weights == "imagenet":
        command += ["--network.weights", str(backbone)]
    if recipe in STARTS:
        command += ["--initialize-from", str(runs / f"{STARTS[recipe]}-{seed}")]
    _segtrain(command)
    run = Run.open(folder)
    splits = ("val", "test") if HEADLINES[recipe].split == "test" else ("val",)
    return {
        "recipe": recipe,
        "seed": seed,
        "epochs": run.state.epochs_done,
        "best_epoch": run.state.best_epoch,
        "minutes": round(run.state.seconds / 60, 1),
        "machine": describe_machine(),
        "date": time.strftime("%Y-%m-%d"),
        "scores": {split: _evaluated(folder, split) for split in splits},
    }


def _evaluated(run: Path, split: str) -> Document:
    """Everything that `segtrain evaluate` says of a split, but what is there to draw and the single
    images."""
    printed = _segtrain(["evaluate", str(run), "--split", split, "--json"], subprocess.PIPE)
    document: Document = json.loads(printed.splitlines()[-1])
    drawn = ("confusion", "calibration", "images")
    return {name: value for name, value in document.items() if name not in drawn}


def _segtrain(arguments: list[str], stdout: int | None = None) -> str:
    """Run the command as a user would, in a process of its own; what it printed to a pipe."""
    command = [sys.executable, "-m", "models.cli", *arguments]
    done = subprocess.run(command, stdout=stdout, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"segtrain {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout or ""


def read_results(path: Path = RESULTS) -> dict[str, Document]:
    """What is kept, by recipe and seed."""
    results: dict[str, Document] = json.loads(path.read_text()) if path.is_file() else {}
    return results


def main() -> None:
    """Train and score, and keep each result as it comes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--backbone", type=Path, required=True, help="MobileNetV2's weights file")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: runs")
    parser.add_argument("--only", nargs="*", choices=list(HEADLINES), default=list(HEADLINES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parsed = parser.parse_args()
    for recipe in parsed.only:
        result = score(recipe, parsed.seed, parsed.data, parsed.backbone, parsed.runs)
        results = read_results(parsed.results) | {f"{recipe} {parsed.seed}": result}
        atomic.write_text(
            parsed.results, json.dumps(dict(sorted(results.items())), indent=1) + "\n"
        )
        headline = HEADLINES[recipe]
        shown = ", ".join(f"{s} {headline.of(d):.3f}" for s, d in result["scores"].items())
        print(
            f"{recipe}, seed {parsed.seed}: {headline.label} {shown}; {result['minutes']:.0f} "
            "minutes"
        )


if __name__ == "__main__":
    main()
