"""Question: does tf.data keep both cores busy, and does the network ever wait for images?

    .venv/bin/python -m benchmarks.input_pipeline         (3 minutes)

Images a second of the training input alone, decoded for every view (what a data set beyond the
memory costs) and kept decoded; of training steps on one batch again and again; and of training
steps fed by the input. Each with the cores it kept busy. The street recipe's network, views and
batch; JPEG photographs of 480×360 made up for it.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.measuring import alternate, begin, ratio, summary
from models.data.augmentation import Augmentation
from models.data.dataset import Dataset
from models.data.input import training_batches
from models.data.reading import read_dataset
from models.training.recipe import Recipe, read_recipe
from models.training.trainer import new_trainer

RECIPE = Path(__file__).parents[1] / "models" / "recipes" / "street.toml"
CLASSES = 11
IMAGES = 64
ROUNDS = 3
INPUT_BATCHES = 16
STEPS = 4


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        _write_photographs(Path(folder))
        recipe = read_recipe(RECIPE, {"data": folder})
        dataset = read_dataset(recipe.data)
        step = _step(recipe)
        kept = _batches(recipe, dataset)
        one = next(kept)
        for _ in range(IMAGES // recipe.batch_size):
            next(kept)  # from here on all its samples are in memory
        decoded = _batches(recipe, dataset, cache_bytes=0)
        next(decoded)
        candidates = {
            "input_decoding": lambda: _measured(recipe, lambda: next(decoded), INPUT_BATCHES),
            "input_kept": lambda: _measured(recipe, lambda: next(kept), INPUT_BATCHES),
            "model_alone": lambda: _measured(recipe, lambda: step(one), STEPS),
            "model_with_decoding": lambda: _measured(recipe, lambda: step(next(decoded)), STEPS),
        }
        outcomes = alternate(candidates, run.rounds(ROUNDS), "images")
    rates = {name: [rate for rate, _ in rounds] for name, rounds in outcomes.items()}
    run.write(
        "input_pipeline",
        {
            "crop": list(recipe.augmentation.crop),
            "batch_size": recipe.batch_size,
            "images_a_second": {name: summary(values) for name, values in rates.items()},
            "cores_busy": {
                name: summary([cores for _, cores in rounds]) for name, rounds in outcomes.items()
            },
            "decoding_over_model": ratio(rates["input_decoding"], rates["model_alone"]),
            "with_input_over_model": ratio(rates["model_with_decoding"], rates["model_alone"]),
        },
    )


def _write_photographs(folder: Path) -> None:
    """Blobs with noise, as large in JPEG as photographs are, and masks of blobs."""
    draw = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part / "train").mkdir(parents=True)
    for number in range(IMAGES):
        coarse = draw.integers(0, 256, (18, 24, 3)).repeat(20, axis=0).repeat(20, axis=1)
        image = np.clip(coarse + draw.integers(-12, 13, coarse.shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / "train" / f"{number}.jpg", quality=95)
        mask = draw.integers(0, CLASSES, (18, 24), np.uint8).repeat(20, axis=0).repeat(20, axis=1)
        Image.fromarray(mask).save(folder / "masks" / "train" / f"{number}.png")
    classes = [{"id": n, "name": str(n), "color": f"#{n:06x}"} for n in range(CLASSES)]
    (folder / "classes.json").write_text(json.dumps({"name": "blobs", "classes": classes}))


def _batches(
    recipe: Recipe, dataset: Dataset, cache_bytes: int | None = None
) -> Iterator[tuple[tf.Tensor, ...]]:
    """An endless enough stream of the recipe's training batches."""
    return iter(
        training_batches(
            dataset.split("train"),
            dataset.channels,
            Augmentation(recipe.augmentation, dataset.channels),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            first_step=0,
            steps=1_000_000,
            cache_bytes=cache_bytes,
        )
    )


def _step(recipe: Recipe) -> Callable[[tuple[tf.Tensor, ...]], Any]:
    """A training step of the recipe's network from random weights, traced and run once."""
    network = recipe.network.model_copy(update={"weights": None})
    random = recipe.model_copy(update={"network": network})
    trainer = new_trainer(random, 3, [1.0] * CLASSES, steps=1000)
    shape = (recipe.batch_size, *recipe.augmentation.crop)
    trainer.step((tf.zeros((*shape, 3)), tf.zeros(shape, tf.uint8)))
    return trainer.step


def _measured(recipe: Recipe, work: Callable[[], Any], times: int) -> tuple[float, float]:
    """Images a second, and the cores this process kept busy."""
    began, busy = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    seconds = time.perf_counter() - began
    return times * recipe.batch_size / seconds, (time.process_time() - busy) / seconds


if __name__ == "__main__":
    main()
