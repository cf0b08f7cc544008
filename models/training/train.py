"""One training: recipe and data in, run folder out."""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from models.contract import UserError
from models.contract.working_size import ScaleRequest
from models.data.augmentation import Augmentation
from models.data.copy_paste import CopyPaste
from models.data.dataset import Dataset, Sample
from models.data.examination import Examination, examine
from models.data.input import PixelWeights, TrainingOrder, training_batches
from models.data.reading import read_dataset
from models.data.record import DatasetRecord, class_difference, record_of
from models.training.assessment import assess
from models.training.checkpoint import load_network
from models.training.distillation import distillation_of
from models.training.evaluation import EvaluationStoppedError, evaluate, network_predictor
from models.training.losses import BY_PIXEL_WEIGHTS, class_weights
from models.training.pace import Pace
from models.training.recipe import Recipe, RecipeError
from models.training.report import write_report, write_unscored_report
from models.training.run import BEST, LAST, Run, RunState
from models.training.scaled import scale_in_words, with_scale
from models.training.tensorboard import ScalarWriter
from models.training.trainer import (
    Trainer,
    available_strategy,
    devices,
    new_trainer,
    restore_trainer,
    set_seeds,
)

_QUIET_SECONDS = 60.0  # at least, between two lines of epochs that val does not follow


class TrainingError(UserError):
    """The training cannot continue. The text says why, and what to do."""


def train(
    recipe: Recipe,
    folder: Path,
    notes: Sequence[str] = (),
    examination: Examination | None = None,
) -> RunState:
    """Train by the recipe into a run folder, resuming that folder's run, where it has one, at the
    very step.

    `notes` are kept as comments above the run's recipe, `examination` is that of the recipe's data
    where it was done already. The network of the epoch with the highest val mIoU is kept beside the
    last; where the recipe has no validation, that of the last.

    Raises DatasetError, RecipeError, BackboneWeightsError and TrainingError; KeyboardInterrupt
    after Ctrl-C or SIGTERM, once a checkpoint is kept.
    """
    run = Run.resumable(folder, recipe)
    dataset = read_dataset(recipe.data, recipe.split, recipe.layout)
    if run is not None:
        _require_same_classes(run, dataset)
    record = _examined(dataset, run, examination, recipe)
    dataset = dataset.with_intensity(record.intensity)
    report = folder / "report.html"
    if run is not None:
        _require_same_samples(run, dataset, record)
        if record != run.record:
            run.keep_record(record)
        if _is_finished(recipe, run.state) and report.is_file():
            return run.state
    if recipe.batch_size % len(devices()):
        raise RecipeError(
            f"batch_size {recipe.batch_size} cannot be shared by {len(devices())} devices; take a "
            "multiple"
        )
    set_seeds(recipe)
    order = TrainingOrder(len(dataset.split("train")), recipe.batch_size, recipe.seed)
    learned = record.splits["train"]
    weights = class_weights(
        recipe.class_weights, np.array(learned.class_pixels), np.array(learned.image_pixels)
    )
    steps = recipe.epochs * order.steps_per_epoch
    with available_strategy().scope():
        names = [c.name for c in dataset.class_list.classes]
        teachers = distillation_of(recipe.distillation, names, dataset.channels)
    if run is None:
        trainer = new_trainer(recipe, dataset.channels, weights, steps, teachers)
        run = Run.begin(folder, recipe, record, notes)
        if record.preprocessing is not None:
            hint = record.preprocessing.hint
            tqdm.write("\n".join([*record.preprocessing.lines, *([hint] if hint else [])]))
        if trainer.start:
            tqdm.write(trainer.start)
    else:
        trainer = restore_trainer(run.folder / LAST, recipe, weights, steps, teachers)
    with _stop_on_signals() as stop:
        TrainingLoop(run, dataset, trainer, order, stop).run()
    if not recipe.split.validation:
        write_unscored_report(report, recipe.name, run)
        return run.state
    scale, auto = record.preprocessing.scale if record.preprocessing else None, ScaleRequest()
    predictor = with_scale(network_predictor(load_network(run.folder / BEST)), scale, auto)
    assessment = assess(
        predictor,
        dataset,
        "val",
        batch_size=recipe.batch_size,
        scale=scale_in_words(scale, auto),
    )
    write_report(report, assessment, predictor, recipe.name, run)
    return run.state


def _examined(
    dataset: Dataset, run: Run | None, examination: Examination | None, recipe: Recipe
) -> DatasetRecord:
    """What is in train and val: as the run has it where no file has changed since, else as reading
    them shows.

    Both at once: a fault in val would show only after an epoch. Raises DatasetError.
    """
    kept, splits = run.record if run else None, recipe.split.training_splits
    if kept is not None and kept.has_read(splits) and kept.is_of(dataset):
        return kept
    examination = examination or examine(dataset, splits)
    examination.raise_on_error()
    record = record_of(examination, recipe.scale)
    if run is None:
        return record
    return record.model_copy(update={"preprocessing": kept.preprocessing if kept else None})


def _require_same_classes(run: Run, dataset: Dataset) -> None:
    """Raise TrainingError where a run is to be resumed on classes of other names; before the masks
    are compared with them."""
    now = [c.name for c in dataset.class_list.classes]
    _refuse(run, dataset, class_difference(run.class_names() or now, now))


def _require_same_samples(run: Run, dataset: Dataset, record: DatasetRecord) -> None:
    """Raise TrainingError where a run is to be resumed on other images or masks than it began
    with."""
    kept = run.record  # a run of release 0.1 has none
    splits = run.recipe.split.training_splits
    _refuse(run, dataset, kept.difference(record, splits) if kept else None)


def _refuse(run: Run, dataset: Dataset, difference: str | None) -> None:
    if difference is not None:
        raise TrainingError(
            f"the run in {run.folder} was trained on other data than {dataset.folder} holds now: "
            f"{difference}. Nothing was trained. Give another --run folder, or with a folder of "
            "data another --name, to train on these"
        )


class TrainingLoop:
    """A run from where it stands to its end."""

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        trainer: Trainer,
        order: TrainingOrder,
        stop: threading.Event,
    ) -> None:
        self._run = run
        self._recipe = run.recipe
        self._dataset = dataset
        self._trainer = trainer
        self._order = order
        self._stop = stop
        self._predictor = network_predictor(trainer.ema_model)
        self._scalars = ScalarWriter(run.folder / "tensorboard")
        self._since = time.monotonic()
        self._pace = Pace(self._recipe.epochs, run.state.epochs_done)

    def run(self) -> None:
        """Epoch by epoch. Raises TrainingError and KeyboardInterrupt."""
        state = self._run.state
        batches = iter(self._trainer.distribute(self._batches(state)))
        while not _is_finished(self._recipe, state):
            self._trainer.freeze_encoder(state.epochs_done < self._recipe.frozen_encoder_epochs)
            state = self._train_epoch(state, batches)
            loss = state.loss_sum / state.steps_done
            if not self._is_validation_epoch(state.epochs_done + 1):
                state = self._with_elapsed_time(_next_epoch(state))
                self._log_unscored(state, loss)
            elif self._recipe.split.validation:
                state = self._validate(state)
            else:
                state = self._keep_unscored(state)
            self._save_checkpoint(state)
            if self._stop.is_set():
                raise KeyboardInterrupt

    def _batches(self, state: RunState) -> tf.data.Dataset:
        recipe, steps_per_epoch = self._recipe, self._order.steps_per_epoch
        classes, share = len(self._dataset.class_list.classes), recipe.augmentation.copy_paste
        return training_batches(
            self._dataset.split("train"),
            self._dataset.channels,
            Augmentation(recipe.augmentation, self._dataset.channels, classes),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            first_step=state.epochs_done * steps_per_epoch + state.steps_done,
            steps=recipe.epochs * steps_per_epoch,
            weights=_border_weights(recipe, self._dataset),
            copy_paste=CopyPaste(share, classes) if share else None,
        )

    def _train_epoch(self, state: RunState, batches: Iterator[tuple[tf.Tensor, ...]]) -> RunState:
        """The rest of the epoch."""
        total = self._order.steps_per_epoch
        with tqdm(
            desc=", ".join(
                filter(None, [self._epoch(state, 1), self._pace.left(state.epochs_done)])
            ),
            initial=state.steps_done,
            total=total,
            unit="step",
            leave=False,
            disable=None,
        ) as progress:
            while state.steps_done < total:
                if self._stop.is_set():
                    self._save_and_stop(state)
                loss = self._trainer.step(self._next_batch(batches, state))
                if not math.isfinite(loss):
                    raise TrainingError(self._not_finite_message(state))
                state = replace(
                    state, steps_done=state.steps_done + 1, loss_sum=state.loss_sum + loss
                )
                progress.set_postfix(loss=f"{state.loss_sum / state.steps_done:.4f}", refresh=False)
                progress.update()
        return state

    def _next_batch(
        self, batches: Iterator[tuple[tf.Tensor, ...]], state: RunState
    ) -> tuple[tf.Tensor, ...]:
        """Raises DatasetError where a file was damaged since it was examined."""
        try:
            return next(batches)
        except tf.errors.OpError:
            for sample in self._next_samples(state):
                sample.read(self._dataset.channels)  # raises what TensorFlow wraps in its own words
            raise

    def _next_samples(self, state: RunState) -> list[Sample]:
        """Those of the step to come."""
        step = state.epochs_done * self._order.steps_per_epoch + state.steps_done
        samples = self._dataset.split("train")
        return [samples[index] for index in self._order.batch(step)]

    def _is_validation_epoch(self, epoch: int) -> bool:
        return epoch % self._recipe.eval_every == 0 or epoch == self._recipe.epochs

    def _validate(self, state: RunState) -> RunState:
        """The epoch's end: scores on val, a row of metrics, the best network."""
        try:
            scores = evaluate(
                self._predictor,
                self._dataset,
                "val",
                batch_size=self._recipe.batch_size,
                stop=self._stop,
            ).scores()
        except EvaluationStoppedError:
            self._save_and_stop(state)
        epoch = state.epochs_done + 1
        row = {
            **self._row(state),
            **{f"val_{name}": value for name, value in scores.summary().items()},
            **{
                f"val_iou_{c.name}": float(iou)
                for c, iou in zip(self._dataset.class_list.classes, scores.class_iou, strict=True)
            },
        }
        state = _next_epoch(state)
        if scores.mean_iou > state.best_mean_iou:
            state = replace(state, best_mean_iou=scores.mean_iou, best_epoch=epoch)
            self._run.save_best(self._trainer.ema_model)
        told = (
            f", val mIoU {scores.mean_iou:.4f}, best {state.best_mean_iou:.4f} in epoch "
            f"{state.best_epoch}"
        )
        return self._with_metrics(state, row, told)

    def _keep_unscored(self, state: RunState) -> RunState:
        """The epoch's end where no image is held back: a row of metrics, and the network."""
        row = self._row(state)
        self._run.save_best(self._trainer.ema_model)
        state = replace(_next_epoch(state), best_epoch=state.epochs_done + 1)
        return self._with_metrics(state, row, "")

    def _row(self, state: RunState) -> dict[str, float]:
        """What training alone tells of the epoch that ends."""
        return {
            "epoch": state.epochs_done + 1,
            "loss": state.loss_sum / state.steps_done,
            "learning_rate": float(self._trainer.optimizer.learning_rate),
        }

    def _with_metrics(self, state: RunState, row: dict[str, float], told: str) -> RunState:
        """Write the row of the epoch that has ended, and say it."""
        state = self._with_elapsed_time(state)
        self._run.append_metrics(row | {"seconds": state.seconds})
        self._scalars.write(row, state.epochs_done)
        self._pace.said()
        tqdm.write(f"{self._epoch(state)}: loss {row['loss']:.4f}{told}; {self._times(state)}")
        return state

    def _log_unscored(self, state: RunState, loss: float) -> None:
        """Tell of an epoch that val did not follow, where no bar is seen, once a minute at most."""
        if not sys.stderr.isatty() and self._pace.is_quiet(_QUIET_SECONDS):
            self._pace.said()
            tqdm.write(f"{self._epoch(state)}: loss {loss:.4f}; {self._times(state)}")

    def _epoch(self, state: RunState, more: int = 0) -> str:
        return f"epoch {state.epochs_done + more}/{self._recipe.epochs}"

    def _times(self, state: RunState) -> str:
        return self._with_rest(f"{state.seconds / 60:.1f} minutes", state)

    def _with_rest(self, text: str, state: RunState) -> str:
        return ", ".join(filter(None, [text, self._pace.left(state.epochs_done)]))

    def _with_elapsed_time(self, state: RunState) -> RunState:
        now = time.monotonic()
        state = replace(state, seconds=state.seconds + now - self._since)
        self._since = now
        return state

    def _save_checkpoint(self, state: RunState) -> None:
        with self._trainer.unfrozen():
            self._run.save_last(self._trainer.network.model, state, self._trainer.arrays())

    def _save_and_stop(self, state: RunState) -> None:
        self._save_checkpoint(self._with_elapsed_time(state))
        raise KeyboardInterrupt

    def _not_finite_message(self, state: RunState) -> str:
        names = ", ".join(str(sample.image) for sample in self._next_samples(state))
        return (
            f"the loss or its gradient is not finite in step {state.steps_done + 1} of epoch "
            f"{state.epochs_done + 1}, at {names}. Look at these images and masks; or start again "
            "with a lower optimizer.learning_rate, or with optimizer.clip_norm, and --run "
            "NEW_FOLDER"
        )


def _next_epoch(state: RunState) -> RunState:
    return replace(state, epochs_done=state.epochs_done + 1, steps_done=0, loss_sum=0.0)


def _is_finished(recipe: Recipe, state: RunState) -> bool:
    scored = state.epochs_done - state.epochs_done % recipe.eval_every
    waited = scored - state.best_epoch
    return state.epochs_done >= recipe.epochs or 0 < recipe.patience <= waited


def _border_weights(recipe: Recipe, dataset: Dataset) -> PixelWeights | None:
    if not recipe.loss.border_weight:
        return None
    from models.data.border import border_weights

    terms = [term.name for term in recipe.loss.terms]
    if not BY_PIXEL_WEIGHTS.intersection(terms):
        raise RecipeError(
            f"loss.border_weight weighs the pixels of {' and '.join(sorted(BY_PIXEL_WEIGHTS))}, "
            f"and loss.terms has only {', '.join(terms)}; add one of them, or leave "
            "loss.border_weight out"
        )
    background = dataset.class_list.background
    if background is None:
        raise RecipeError("loss.border_weight needs a class called background in classes.json")
    return partial(
        border_weights,
        background=background,
        void=len(dataset.class_list.classes),
        peak=recipe.loss.border_weight,
        sigma=recipe.loss.border_sigma,
    )


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets. A second one ends the process as ever."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may take signals
        return
    before: dict[int, Callable[..., object] | int | None] = {}

    def ask(number: int, frame: object) -> None:  # noqa: ARG001
        stop.set()
        tqdm.write("stopping after this step; once more to stop at once")
        for each, handler in before.items():
            signal.signal(each, handler)

    for stopping in (signal.SIGINT, signal.SIGTERM):
        before[stopping] = signal.signal(stopping, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
