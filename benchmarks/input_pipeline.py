"""Question: does tf.data keep both cores busy, and does the network ever wait for images?

    .venv/bin/python -m benchmarks.input_pipeline [--data FOLDER] [--recipe FILE]

Images a second of the training input alone, decoded for every view (what a data set beyond the memory costs) and kept decoded;
of training steps on one batch again and again; and of training steps fed by the input. Medians of the rounds, with the share of the
cores that each kept busy.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from models.data import input as training_input
from models.data.augmentation import Augmentation
from models.data.dataset import Dataset
from models.data.reading import read_dataset
from models.training.learner import begun_learner
from models.training.recipe import Recipe, read_recipe

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "input_pipeline.json"
ROUNDS = 3
INPUT_BATCHES = 20
STEPS = 6


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "camvid")
    parser.add_argument("--recipe", type=Path, default=ROOT / "models" / "recipes" / "street.toml")
    given = parser.parse_args()
    recipe = read_recipe(given.recipe, {"data": str(given.data), "network": {"weights": None}})
    dataset = read_dataset(recipe.data, recipe.split, recipe.layout)
    step = _step(recipe, dataset)
    kept = _batches(recipe, dataset)
    one = next(kept)
    for _ in range(-(-len(dataset.split("train")) // recipe.batch_size)):
        next(kept)  # from here on all its samples are in memory
    training_input.MEMORY_FOR_IMAGES_BYTES = 0  # and none of the next one's
    decoded = _batches(recipe, dataset)
    next(decoded)
    variants: dict[str, Callable[[], float]] = {
        "input_decoding": lambda: _images_per_second(recipe, lambda: next(decoded), INPUT_BATCHES),
        "input_kept": lambda: _images_per_second(recipe, lambda: next(kept), INPUT_BATCHES),
        "model_alone": lambda: _images_per_second(recipe, lambda: step(one), STEPS),
        "model_with_input": lambda: _images_per_second(recipe, lambda: step(next(kept)), STEPS),
    }
    rates: dict[str, list[float]] = {name: [] for name in variants}
    busy: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, run in variants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            rates[name].append(run())
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            busy[name].append(cpu / wall)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    _write(
        {
            "data": dataset.folder.name,
            "crop": list(recipe.augmentation.crop),
            "batch_size": recipe.batch_size,
            "images_a_second": {name: round(value, 2) for name, value in medians.items()},
            "cores_busy": {name: round(statistics.median(v), 2) for name, v in busy.items()},
            "input_over_model": round(medians["input_decoding"] / medians["model_alone"], 1),
            "rounds": ROUNDS,
            "cores": len(os.sched_getaffinity(0)),
            "date": time.strftime("%Y-%m-%d"),
        }
    )


def _batches(recipe: Recipe, dataset: Dataset) -> Iterator[tuple[tf.Tensor, ...]]:
    """An endless enough stream of the recipe's training batches."""
    return iter(
        training_input.training_batches(
            dataset.split("train"),
            dataset.channels,
            Augmentation(recipe.augmentation, dataset.channels),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            first_step=0,
            steps=1_000_000,
        )
    )


def _step(recipe: Recipe, dataset: Dataset) -> Callable[[tuple[tf.Tensor, ...]], Any]:
    """A training step of the recipe, traced and run once."""
    classes = len(dataset.class_list.classes)
    learner = begun_learner(recipe, dataset.channels, [1.0] * classes, steps=1000)
    shape = (recipe.batch_size, *recipe.augmentation.crop)
    learner.step((tf.zeros((*shape, dataset.channels)), tf.zeros(shape, tf.uint8)))
    return learner.step


def _write(result: dict[str, Any]) -> None:
    """Print the result and keep it, whole or not at all."""
    text = json.dumps(result, indent=2) + "\n"
    beside = RESULT.with_suffix(".partial")
    beside.write_text(text)
    beside.replace(RESULT)
    print(text)


def _images_per_second(recipe: Recipe, run: Callable[[], Any], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        run()
    return times * recipe.batch_size / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
