"""One training: recipe and data in, run folder out."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from models.architectures.fcn import initialise_from
from models.architectures.networks import build_by_options
from models.data.augmentation import Augmentation
from models.data.dataset import Dataset, class_pixels, read_dataset
from models.data.input import steps_per_epoch, training_batches
from models.training.evaluation import evaluate, network_predict
from models.training.losses import WeightedCrossEntropy, class_weights
from models.training.recipe import Recipe
from models.training.run import LAST, Run, RunState, load_best
from models.training.schedules import WarmUpDecay


def train(recipe: Recipe, folder: Path) -> RunState:
    """Train by the recipe into a run folder, going on where that folder's run stopped.

    The model of the epoch with the highest val mIoU is kept beside the last. Raises DatasetError, RecipeError and
    BackboneWeightsError.
    """
    run = Run.begin(folder, recipe)
    state = run.state
    if state.epochs_done >= recipe.epochs:
        return state
    dataset = read_dataset(recipe.data)
    pixels = class_pixels(dataset, "train")
    class_pixels(dataset, "val")  # a fault there would show only after the first epoch
    keras.utils.set_random_seed(recipe.seed)
    if state.epochs_done:
        model = run.load(LAST)
    else:
        model = _compiled(recipe, dataset, class_weights(recipe.class_weights, pixels))
    samples = dataset.split("train")
    batches = training_batches(
        samples,
        dataset.channels,
        Augmentation(recipe.augmentation, dataset.channels),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        first_epoch=state.epochs_done,
        epochs=recipe.epochs,
    )
    recorder = EpochRecorder(run, dataset)
    model.fit(
        batches,
        initial_epoch=state.epochs_done,
        epochs=recipe.epochs,
        steps_per_epoch=steps_per_epoch(len(samples), recipe.batch_size),
        callbacks=[recorder],
        shuffle=False,  # the stream is shuffled already
        verbose="auto" if sys.stdout.isatty() else 2,
    )
    return run.state


class EpochRecorder(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: scores on val, a row of metrics, checkpoints."""

    def __init__(self, run: Run, dataset: Dataset) -> None:
        super().__init__()
        self._run = run
        self._dataset = dataset
        self._began = time.monotonic()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self._predict = network_predict(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        classes = self._dataset.class_list.classes
        scores = evaluate(
            self._predict,
            self._dataset.split("val"),
            classes=len(classes),
            channels=self._dataset.channels,
            title="val",
        ).scores()
        before, now = self._run.state, time.monotonic()
        state = replace(before, epochs_done=epoch + 1, seconds=before.seconds + now - self._began)
        self._began = now
        if scores.mean_iou > state.best_mean_iou:
            state = replace(state, best_mean_iou=scores.mean_iou, best_epoch=epoch + 1)
        row = {
            "epoch": epoch + 1,
            "loss": float((logs or {})["loss"]),
            "learning_rate": float(np.asarray(self.model.optimizer.learning_rate)),
            **{f"val_{name}": value for name, value in scores.summary().items()},
            **{
                f"val_iou_{c.name}": float(iou)
                for c, iou in zip(classes, scores.class_iou, strict=True)
            },
            "seconds": state.seconds,
        }
        self._run.save_epoch(self.model, state, row)
        tqdm.write(
            f"val mIoU {scores.mean_iou:.4f}, best {state.best_mean_iou:.4f} in epoch {state.best_epoch}"
        )


def _compiled(recipe: Recipe, dataset: Dataset, weights: list[float]) -> keras.Model:
    model = build_by_options(len(weights), dataset.channels, recipe.network)
    if recipe.network.initialise_from is not None:
        initialise_from(model, load_best(recipe.network.initialise_from))
    options = recipe.optimizer
    steps = recipe.epochs * steps_per_epoch(len(dataset.split("train")), recipe.batch_size)
    optimizer = keras.optimizers.AdamW(
        WarmUpDecay(options.learning_rate, steps, options.warm_up_steps, options.decay),
        weight_decay=options.weight_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer=optimizer, loss=WeightedCrossEntropy(weights))
    return model
