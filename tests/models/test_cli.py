"""A training as its user sees it: train, stop, resume, evaluate, export."""

import csv
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from models.architectures.backbones import exported_variables
from models.architectures.network import Network
from models.cli import main
from models.commands.command import BUNDLED_STORE
from models.contract import (
    MODEL_CARD_PATH,
    FrameScale,
    NativeScale,
    Overlap,
    PercentileIntensity,
    read_contract,
    verify_files,
)
from models.data.examination import Examination, examine
from models.data.input import TrainingOrder
from models.data.reading import read_dataset
from models.training import train
from models.training.checkpoint import load_checkpoint, load_network
from models.training.recipe import read_recipe
from models.training.run import BEST, LAST, Run
from models.training.trainer import Trainer
from tests.models.conftest import take_splits_away, write_dataset


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, recipe_file: Path) -> Path:
    """A run of two epochs, unbroken, in a folder that a wrong command had made."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    command = ["train", str(recipe_file), "--run", str(folder)]
    assert main([*command, "--data", str(folder)]) == 1
    assert main(command) == 0
    return folder


Weights = list[NDArray[np.float32]]


def equal(first: Weights, second: Weights) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_folder_holds_metrics_recipe_and_both_checkpoints(run_folder: Path) -> None:
    assert [row["epoch"] for row in rows(run_folder)] == ["1", "2"]
    assert float(rows(run_folder)[-1]["loss"]) < float(rows(run_folder)[0]["loss"])
    assert {"val_mean_iou", "val_iou_red", "learning_rate", "seconds"} <= set(rows(run_folder)[0])
    best = max(rows(run_folder), key=lambda row: float(row["val_mean_iou"]))
    state = json.loads((run_folder / "state.json").read_text())
    assert state["best_epoch"] == int(best["epoch"])
    assert not list(run_folder.glob("*partial*"))


def test_tensorboard_finds_the_scalars(run_folder: Path) -> None:
    (events,) = (run_folder / "tensorboard").iterdir()
    records = [
        tf.compat.v1.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(events))
    ]
    losses = [
        (event.step, tf.make_ndarray(value.tensor).item(), value.metadata.plugin_data.plugin_name)
        for event in records
        for value in event.summary.value
        if value.tag == "loss"
    ]
    assert [step for step, *_ in losses] == [int(row["epoch"]) for row in rows(run_folder)]
    expected = [float(row["loss"]) for row in rows(run_folder)]
    assert [loss for _, loss, _ in losses] == pytest.approx(expected)
    assert {plugin for *_, plugin in losses} == {"scalars"}


def test_a_stopped_run_goes_on_to_the_same_end(
    run_folder: Path,
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped after the first and the second of four steps of the second epoch, by either signal;
    and as a process killed later would leave the folder, the metrics and the best network are ahead
    of the checkpoint."""
    folder = tmp_path / "broken"
    command = ["train", str(recipe_file), "--run", str(folder)]
    step = Trainer.step
    for number, last, steps_done in ((signal.SIGTERM, 5, 1), (signal.SIGINT, 1, 2)):
        steps = iter(range(1, 100))

        def stopped(
            self: Trainer,
            batch: tuple[tf.Tensor, ...],
            number: signal.Signals = number,
            last: int = last,
            steps: Iterator[int] = steps,
        ) -> float:
            if next(steps) == last:
                os.kill(os.getpid(), number)
            return step(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "step", stopped)
            assert main(command) == 130
        state = Run.open(folder).state
        assert (state.epochs_done, state.steps_done) == (1, steps_done)
    assert len(rows(folder)) == 1
    with (folder / "metrics.csv").open("a") as file:
        file.write(",".join(["2", *list(rows(folder)[0].values())[1:]]) + "\n")
    shutil.copy(run_folder / BEST, folder / BEST)
    assert main(command) == 0
    for found, expected in zip(rows(folder), rows(run_folder), strict=True):
        del found["seconds"], expected["seconds"]
        assert found == expected
    whole, resumed = (load_checkpoint(run / LAST) for run in (run_folder, folder))
    assert whole.arrays.keys() == resumed.arrays.keys()
    pairs = [
        *zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True),
        *zip(whole.model.optimizer.variables, resumed.model.optimizer.variables, strict=True),
        *((whole.arrays[name], resumed.arrays[name]) for name in whole.arrays),
    ]
    for first, second in pairs:
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


def test_a_loss_that_is_not_finite_stops_the_run_with_the_files_names(
    recipe_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a step says of such a batch is tested in test_trainer."""
    losses = iter([0.5, float("nan")])
    monkeypatch.setattr(Trainer, "step", lambda *_: next(losses))
    assert main(["train", str(recipe_file), "--run", str(tmp_path / "run")]) == 1
    samples = read_dataset(read_recipe(recipe_file).data).split("train")
    files = [samples[index].image for index in TrainingOrder(8, 2, seed=1).batch(1)]
    said = capsys.readouterr().err
    assert f"not finite in step 2 of epoch 1, at {files[0]}, {files[1]}. " in said
    assert "--run NEW_FOLDER" in said  # a folder with a checkpoint refuses another optimizer
    assert not (tmp_path / "run" / LAST).exists()


def test_a_file_that_is_damaged_after_it_was_examined_is_one_sentence(
    recipe_file: Path,
    own_dataset_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = own_dataset_folder / "images" / "train" / "1.png"

    def examined_and_damaged(*asked: Any) -> Examination:
        found = examine(*asked)
        image.write_bytes(image.read_bytes()[:200])
        return found

    monkeypatch.setattr("models.training.train.examine", examined_and_damaged)
    command = ["train", str(recipe_file), "--data", str(own_dataset_folder)]
    assert main([*command, "--run", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert f"segtrain: {image} cannot be read" in said
    assert "Traceback" not in said


def test_a_finished_run_is_not_trained_again(run_folder: Path, recipe_file: Path) -> None:
    before = (run_folder / LAST).stat().st_mtime_ns
    assert main(["train", str(recipe_file), "--run", str(run_folder)]) == 0
    assert (run_folder / LAST).stat().st_mtime_ns == before


def test_a_report_that_a_killed_run_left_out_is_made_by_the_same_command(
    run_folder: Path, recipe_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(run_folder, folder)
    for report in folder.glob("report.*"):
        report.unlink()
    assert main(["train", str(recipe_file), "--run", str(folder)]) == 0
    reports = [json.loads((run / "report.json").read_text()) for run in (run_folder, folder)]
    assert all(report.pop("images_per_second") > 0 for report in reports)
    assert reports[0] == reports[1]
    assert "<h2>Training</h2>" in (folder / "report.html").read_text()


@pytest.mark.usefixtures("without_steps")
@pytest.mark.parametrize("eval_every", [1, 2])
def test_patience_ends_a_run_that_gets_no_better(
    light_recipe_file: Path, tmp_path: Path, eval_every: int
) -> None:
    """Where nothing is learned, the second look at val shows nothing better than the first."""
    folder = tmp_path / "patient"
    command = ["train", str(light_recipe_file), "--run", str(folder)]
    command += ["--epochs", "9", "--patience", "1", "--eval_every", str(eval_every)]
    assert main(command) == 0
    state = Run.open(folder).state
    assert state.epochs_done == state.best_epoch + eval_every < 9


@pytest.mark.usefixtures("without_steps")
def test_val_is_scored_at_the_epochs_asked_for_and_at_the_last(
    light_recipe_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And a log, where no bar is seen, has a line of the epochs between, with the time left."""
    monkeypatch.setattr(train, "_QUIET_SECONDS", 0.0)
    folder = tmp_path / "run"
    options = ["--epochs", "5", "--eval_every", "2"]
    assert main(["train", str(light_recipe_file), "--run", str(folder), *options]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in lines] == [f"epoch {n}/5" for n in range(1, 6)]
    assert ["val mIoU" in line for line in lines] == [False, True, False, True, True]
    assert all(" left" in line for line in lines[:4])
    assert lines[4].endswith(" minutes")
    assert [int(row["epoch"]) for row in rows(folder)] == [2, 4, 5]
    state = Run.open(folder).state
    assert state.epochs_done == 5
    assert state.best_epoch in (2, 4, 5)


def test_without_validation_all_is_learned_and_the_last_epoch_is_kept(
    light_recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, store = tmp_path / "run", tmp_path / "store"
    command = ["train", str(light_recipe_file), "--run", str(folder), "--epochs", "3"]
    command += ["--eval_every", "2", "--ema_decay", "0.5"]
    assert main([*command, "--split.validation", "false"]) == 0
    printed = capsys.readouterr().out
    assert "val mIoU" not in printed
    assert "3 epochs in less than a minute; the last one is kept, not scored.\n" in printed
    assert f"Next: segtrain evaluate {folder} --split test, then segtrain export" in printed
    assert [int(row["epoch"]) for row in rows(folder)] == [2, 3]
    assert list(rows(folder)[0]) == ["epoch", "loss", "learning_rate", "seconds"]
    record = Run.open(folder).record
    assert record is not None
    assert "val" not in record.splits
    own = examine(read_dataset(Run.open(folder).recipe.data), ("train", "val"))
    assert record.splits["train"].images == sum(len(own.digests[s]) for s in ("train", "val"))
    last, kept = load_checkpoint(folder / LAST).arrays, load_network(folder / BEST).get_weights()
    assert all(np.array_equal(one, last[f"kept_{i}"]) for i, one in enumerate(kept))
    report = (folder / "report.html").read_text()
    assert "not scored" in report
    assert "scores on val" not in report
    assert main(["evaluate", str(folder)]) == 1
    assert "has no split 'val'" in capsys.readouterr().err
    assert main(["evaluate", str(folder), "--split.validation", "true"]) == 1
    assert "was trained on" in capsys.readouterr().err
    assert main(["evaluate", str(folder), "--split", "test"]) == 0
    assert main(["export", str(folder), "--store", str(store), "--no-openvino"]) == 0
    (artefact,) = store.glob("*/1")
    assert read_contract(artefact).calibration is None
    assert "so the last epoch was kept" in (artefact / MODEL_CARD_PATH).read_text()
    capsys.readouterr()
    data = str(Run.open(folder).recipe.data)
    assert main(["evaluate", str(artefact), "--data", data, "--split", "test"]) == 0
    assert "was trained on val" not in capsys.readouterr().err
    assert main(["evaluate", str(artefact), "--data", data, "--split.validation", "true"]) == 0
    assert "was trained on val of its own data too" in capsys.readouterr().err


@pytest.mark.usefixtures("without_steps")
def test_where_nothing_is_left_to_score_on_the_export_is_next(
    light_recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = write_dataset(tmp_path / "all", {"train": 3, "val": 1}), tmp_path / "run"
    command = ["train", str(light_recipe_file), "--data", str(data), "--run", str(folder)]
    assert main([*command, "--epochs", "1", "--split.validation", "false"]) == 0
    assert f"\nNext: segtrain export {folder} --store" in capsys.readouterr().out
    record = Run.open(folder).record
    assert record is not None
    assert {name: split.images for name, split in record.splits.items()} == {"train": 4}


def test_patience_wants_validation(
    light_recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(light_recipe_file), "--run", str(tmp_path / "run")]
    assert main([*command, "--patience", "2", "--split.validation", "false"]) == 1
    assert "patience waits 2 epochs for a better val mIoU" in capsys.readouterr().err


def test_a_border_weight_is_learned_with(
    run_folder: Path, recipe_file: Path, tmp_path: Path
) -> None:
    """The same recipe twice begins in the same way but for the weight."""
    weighted = tmp_path / "run"
    command = ["train", str(recipe_file), "--run", str(weighted)]
    assert main([*command, "--loss.border_weight", "10"]) == 0
    losses = [float(rows(run)[0]["loss"]) for run in (run_folder, weighted)]
    assert losses[0] != losses[1]


def test_a_border_weight_that_no_term_takes_is_refused(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(recipe_file), "--run", str(tmp_path / "run")]
    terms = '[{name = "dice"}, {name = "tversky"}, {name = "lovasz_softmax"}]'
    assert main([*command, "--loss.border_weight", "10", "--loss.terms", terms]) == 1
    said = capsys.readouterr().err
    assert "weighs the pixels of cross_entropy and focal" in said
    assert "has only dice, tversky, lovasz_softmax; add one of them" in said


def test_a_border_weight_wants_a_background(
    recipe_file: Path, own_dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = own_dataset_folder / "classes.json"
    classes.write_text(classes.read_text().replace("background", "ground"))
    command = ["train", str(recipe_file), "--data", str(own_dataset_folder)]
    assert main([*command, "--run", str(tmp_path / "run"), "--loss.border_weight", "10"]) == 1
    assert "needs a class called background in classes.json" in capsys.readouterr().err


def test_a_frozen_encoder_learns_from_the_epoch_after(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs of four steps, frozen in the first, its BatchNorm statistics too."""
    step, encoders, decoders = Trainer.step, list[Weights](), list[Weights]()

    def watched(self: Trainer, batch: tuple[tf.Tensor, ...]) -> float:
        for seen, of_encoder in ((encoders, True), (decoders, False)):
            names = self.network.encoder_layers
            layers = [one for one in self.network.model.layers if (one.name in names) is of_encoder]
            seen.append([weight for layer in layers for weight in layer.get_weights()])
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", watched)
    command = ["train", str(recipe_file), "--run", str(tmp_path / "run")]
    assert main([*command, "--frozen_encoder_epochs", "1"]) == 0
    assert len(encoders) == 8
    assert all(equal(encoders[0], later) for later in encoders[1:5])
    assert not equal(encoders[4], encoders[5])
    assert not equal(decoders[0], decoders[1])


def test_a_finer_fcn_starts_from_the_run_of_a_coarser_one(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarser, finer = tmp_path / "32s", tmp_path / "16s"
    network = ["--network.encoder", "vgg16", "--network.width", "1", "--epochs", "1"]
    command = ["train", str(recipe_file), *network]
    assert main([*command, "--network.name", "fcn32s", "--run", str(coarser)]) == 0
    starts: list[Weights] = []
    step = Trainer.step

    def watched(self: Trainer, batch: tuple[tf.Tensor, ...]) -> float:
        starts.append(self.network.model.get_layer("fc6").get_weights())
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", watched)
    fine = [*command, "--network.name", "fcn16s", "--run", str(finer)]
    assert main([*fine, "--initialize-from", str(coarser)]) == 0
    assert equal(starts[0], load_network(coarser / BEST).get_layer("fc6").get_weights())
    assert not equal(starts[0], starts[-1])
    assert Run.open(finer).recipe.network.initialize_from == coarser


def test_a_finer_fcn_does_not_start_from_what_is_no_run(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = ["--network.encoder", "vgg16", "--network.width", "1", "--network.name", "fcn16s"]
    command = ["train", str(recipe_file), "--run", str(tmp_path / "run"), *network]
    assert main([*command, "--initialize-from", str(tmp_path)]) == 1
    assert "is not a run with a validated epoch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--split.fraction", "2", "split.fraction: input should be less than 1"),
        ("--layout.name", "mine", "layout.name: input should be"),
        ("--name", "a/b", "name: "),
    ],
)
def test_a_wrong_field_for_a_folder_of_data_is_one_sentence(
    option: str, value: str, sentence: str, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(dataset_folder), option, value]) == 1
    assert capsys.readouterr().err.startswith(f"segtrain: {sentence}")


def test_split_is_the_share_of_val_as_in_check(
    dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(dataset_folder), "--split", "2"]) == 1
    assert capsys.readouterr().err.startswith("segtrain: split.fraction: input should be less")


def test_a_recipe_is_not_told_how_many_minutes(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(recipe_file), "--run", str(tmp_path / "run")]
    assert main([*command, "--minutes", "5"]) == 1
    said = capsys.readouterr().err
    assert f"{recipe_file} says how long by its epochs: set --epochs" in said
    assert not (tmp_path / "run").exists()


def test_what_is_neither_a_recipe_nor_a_folder_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(tmp_path / "typo"), "--minutes", "5"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"segtrain: there is neither a recipe nor a folder at {tmp_path}/typo")


def test_a_number_may_be_a_models_name(recipe_file: Path) -> None:
    assert read_recipe(recipe_file, {"name": 2024}).name == "2024"


def test_a_run_folder_of_another_recipe_is_refused(
    run_folder: Path, recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(recipe_file), "--run", str(run_folder), "--epochs", "4"]) == 1
    assert "has its own value of epochs" in capsys.readouterr().err


def test_a_wrong_folder_is_one_sentence(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(recipe_file), "--data", str(tmp_path), "--run", str(tmp_path / "run")]
    assert main(command) == 1
    assert "in no layout that segtrain reads" in capsys.readouterr().err


def test_a_damaged_image_of_any_split_stops_the_training_before_it_begins(
    recipe_file: Path, own_dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = own_dataset_folder / "images" / "val" / "0.png"
    image.write_bytes(image.read_bytes()[:200])
    folder = tmp_path / "run"
    command = ["train", str(recipe_file), "--data", str(own_dataset_folder), "--run", str(folder)]
    assert main(command) == 1
    assert "val/0.png cannot be read" in capsys.readouterr().err
    assert not (folder / LAST).exists()


@pytest.mark.parametrize("command", ["train", "choose", "evaluate"])
def test_a_picture_of_train_that_is_in_test_too_is_refused(
    command: str,
    recipe_file: Path,
    artefact: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Saved in another way; its mask and a damaged file of the split that is not asked for are not
    looked at."""
    data = write_dataset(tmp_path / "data", {"train": 2, "val": 1, "test": 2})
    first, second = (data / "images" / split / "1.png" for split in ("train", "test"))
    Image.open(first).save(second, compress_level=0)
    other = "train" if command == "evaluate" else "test"
    (data / "images" / other / "0.png").write_text("damaged")
    run = ["--run", str(tmp_path / "run")]
    commands = {
        "train": ["train", str(recipe_file), "--data", str(data), *run],
        "choose": ["train", str(data), *run],
        "evaluate": ["evaluate", str(artefact), "--data", str(data), "--split", "test"],
    }
    assert main(commands[command]) == 1
    said = capsys.readouterr().err
    assert f"segtrain: {second} in test is the same picture as {first} in train" in said


def test_a_folder_that_is_no_model_cannot_be_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tmp_path)]) == 1
    assert "neither a run folder nor an exported model" in capsys.readouterr().err


def test_a_model_is_not_scored_on_data_of_another_kind(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gray = write_dataset(tmp_path / "gray", {"val": 1}, gray=True)
    assert main(["evaluate", str(artefact), "--data", str(gray)]) == 1
    assert "3 classes and 3 channels" in capsys.readouterr().err


def test_a_model_is_not_scored_on_classes_in_another_order(
    artefact: Path,
    run_folder: Path,
    own_dataset_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = own_dataset_folder / "classes.json"
    document = json.loads(path.read_text())
    names = [entry["name"] for entry in document["classes"]]
    for entry, name in zip(document["classes"], [names[0], names[2], names[1]], strict=True):
        entry["name"] = name
    path.write_text(json.dumps(document))
    for model in (artefact, run_folder):
        assert main(["evaluate", str(model), "--data", str(own_dataset_folder)]) == 1
        assert "class 1 is 'red' to the model and 'blue' in" in capsys.readouterr().err


def test_masks_are_examined_before_they_are_scored_on(
    artefact: Path, own_dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_dataset_folder / "masks" / "val" / "0.png"
    Image.fromarray(np.full_like(np.asarray(Image.open(path)), 77)).save(path)
    assert main(["evaluate", str(artefact), "--data", str(own_dataset_folder)]) == 1
    assert "holds the value 77" in capsys.readouterr().err


@pytest.mark.usefixtures("without_steps")
def test_an_exported_model_is_scored_on_the_images_that_its_training_held_back(
    light_recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a folder without splits; the flags may say another division."""
    whole = write_dataset(tmp_path / "whole", {"train": 12})
    take_splits_away(whole)
    run, store = tmp_path / "run", tmp_path / "store"
    command = ["train", str(light_recipe_file), "--data", str(whole), "--run", str(run)]
    assert main([*command, "--epochs", "1", "--split.seed", "7", "--split.fraction", "0.4"]) == 0
    assert main(["export", str(run), "--store", str(store)]) == 0
    artefact = store / "rectangles" / "1"

    def scored(model: Path, *options: str) -> set[str]:
        capsys.readouterr()
        assert main(["evaluate", str(model), "--json", *options]) == 0
        return set(json.loads(capsys.readouterr().out)["images"])

    held_back = scored(run)
    assert scored(artefact, "--data", str(whole)) == held_back
    assert scored(run, "--data", str(whole)) == held_back
    assert scored(artefact, "--data", str(whole), "--split.seed", "8") != held_back


def test_scores_on_other_data_do_not_reach_the_card(
    run_folder: Path, artefact: Path, own_dataset_folder: Path
) -> None:
    assert artefact.is_dir()  # scored before, on its own data
    before = (run_folder / "scores" / "val.json").read_text()
    assert main(["evaluate", str(run_folder), "--data", str(own_dataset_folder)]) == 0
    assert (run_folder / "scores" / "val.json").read_text() == before


@pytest.fixture(scope="module")
def artefact(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's best model, scored on val and test, exported."""
    store = tmp_path_factory.mktemp("store")
    for split in ("val", "test"):
        assert main(["evaluate", str(run_folder), "--split", split, "--robustness"]) == 0
    assert main(["export", str(run_folder), "--store", str(store)]) == 0
    return store / "rectangles" / "1"


def test_the_artefact_keeps_its_contract(artefact: Path) -> None:
    contract = read_contract(artefact)
    verify_files(artefact, contract)
    assert [c.name for c in contract.classes] == ["background", "red", "blue"]
    assert (contract.background, contract.ignore, contract.channels) == (0, 255, 3)
    assert contract.stride == 16
    assert contract.receptive_field_radius is not None
    assert contract.training is not None
    assert contract.training.split_sizes == {"test": 2, "train": 8, "val": 3}
    assert set(contract.training.scores) == {"val", "test"}
    assert contract.scale == NativeScale()  # the rectangles lie anywhere
    assert isinstance(contract.intensity, PercentileIntensity)
    darkest, brightest = contract.intensity.color
    assert darkest < 40
    assert brightest > 200
    card = (artefact / MODEL_CARD_PATH).read_text()
    assert "Scale: native, since the classes tell no up from down" in card
    assert "CC0" in card
    assert "| shown | mean IoU on val | against plain | mean IoU on test | against plain |" in card
    assert "| 1 | red | #e53935 |" in card
    assert str(artefact.parent) not in card


@pytest.mark.usefixtures("without_steps")
def test_a_training_starts_from_an_exported_model(
    artefact: Path, recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its steps the run ends as what it started from, and its card says that. The store's
    name looks like a pattern."""
    artefact = shutil.copytree(artefact, tmp_path / "st [v2]" / "rectangles" / "1")
    run = tmp_path / "tuned"
    command = ["train", str(recipe_file), "--initialize-from", str(artefact), "--run", str(run)]
    assert main([*command, "--epochs", "1"]) == 0
    assert f"start: the weights of {artefact}\n" in capsys.readouterr().out
    tuned = load_network(run / BEST)
    for path, kept in exported_variables(artefact).items():
        (weight,) = (w for w in tuned.weights if w.path == path)
        np.testing.assert_array_equal(weight.numpy(), kept)
    store = tmp_path / "store"
    assert main(["export", str(run), "--store", str(store), "--no-openvino"]) == 0
    (card,) = store.rglob("model_card.md")
    started = "started from those of the model rectangles/1, which was trained on rectangles"
    assert started in " ".join(card.read_text().split())


def test_a_scale_can_be_said_of_a_run_and_of_its_scores(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset_folder: Path
) -> None:
    command = ["export", str(run_folder), "--store", str(tmp_path), "--no-openvino"]
    assert main([*command, "--scale", "longest=28"]) == 0
    artefact = tmp_path / "rectangles" / "1"
    assert read_contract(artefact).scale == FrameScale(long_side=28)
    capsys.readouterr()
    scores = {}
    for scale in ("auto", "native", "0.5"):
        data = ["--data", str(dataset_folder), "--scale", scale]
        assert main(["evaluate", str(artefact), "--json", *data]) == 0
        scores[scale] = json.loads(capsys.readouterr().out)
    assert scores["auto"]["scale"] == "auto (longest=28)"
    assert scores["auto"]["confusion"] == scores["0.5"]["confusion"]
    assert scores["auto"]["confusion"] != scores["native"]["confusion"]
    asked = ["--data", str(dataset_folder), "--robustness"]
    assert main(["evaluate", str(artefact), "--json", *asked]) == 0
    robustness = json.loads(capsys.readouterr().out)["robustness"]
    assert robustness["plain"] == pytest.approx(scores["auto"]["mean_iou"])
    verify_files(artefact, read_contract(artefact))
    (line,) = re.findall(r"\| twice.* \|", (artefact / MODEL_CARD_PATH).read_text())
    assert f"| {robustness['twice the working size']:.3f} |" in line
    with pytest.raises(SystemExit):
        main(["evaluate", str(artefact), "--scale", "half"])
    assert "it can be auto, native, a factor" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(1, 1), (17, 40), (40, 56)])
def test_the_signatures_agree_with_the_network(
    artefact: Path, run_folder: Path, size: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype(np.uint8)
    loaded = tf.saved_model.load(str(artefact))
    logits = np.asarray(load_network(run_folder / BEST)(image.astype(np.float32), training=False))
    class_map = np.asarray(
        loaded.signatures["serving_default"](images=tf.constant(image))["class_map"]
    )
    probabilities = np.asarray(
        loaded.signatures["probabilities"](images=tf.constant(image))["probabilities"]
    )
    assert class_map.dtype == np.uint8
    np.testing.assert_array_equal(class_map, logits.argmax(axis=-1))
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=-1), class_map)


def test_the_bytes_signature_reads_an_encoded_image(artefact: Path, dataset_folder: Path) -> None:
    path = dataset_folder / "images" / "test" / "0.png"
    signatures = tf.saved_model.load(str(artefact)).signatures
    pixels = np.asarray(Image.open(path))[np.newaxis]
    by_bytes = signatures["serve_bytes"](image_bytes=tf.constant([path.read_bytes()]))["class_map"]
    by_pixels = signatures["serving_default"](images=tf.constant(pixels))["class_map"]
    np.testing.assert_array_equal(by_bytes, by_pixels)


def test_run_and_artefact_score_the_same(
    artefact: Path, run_folder: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run_folder), "--split", "test", "--json"]) == 0
    of_run = json.loads(capsys.readouterr().out)
    data = ["--data", str(dataset_folder)]
    assert main(["evaluate", str(artefact), "--split", "test", "--json", *data]) == 0
    of_artefact = json.loads(capsys.readouterr().out)
    assert all(scores.pop("images_per_second") > 0 for scores in (of_run, of_artefact))
    # the artefact has a temperature, which the run has not: what is the same is what lies before it
    assert of_run.pop("uncalibrated") is None
    before = of_artefact.pop("uncalibrated")
    assert before.pop("log_loss") > 0
    worth = {
        name: before.pop(name) for name in ("calibration_error", "class_calibration_error", "brier")
    }
    assert of_artefact | worth | {"calibration": before} == of_run


def test_the_printed_table_has_scores_and_the_rate(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run_folder), "--split", "test"]) == 0
    printed = capsys.readouterr().out
    for name in ("mean iou", "boundary f1", "calibration error"):
        assert re.search(rf"^{name} +[01]\.\d{{4}}$", printed, re.MULTILINE)
    assert re.search(r"^images per second +\d+\.\d$", printed, re.MULTILINE)
    assert re.search(r"^  IoU red +[01]\.\d{4}   Dice [01]\.\d{4}$", printed, re.MULTILINE)


def test_images_of_one_name_in_two_folders_are_both_in_the_report(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data", {"train": 1, "val": 2})
    for part in ("images", "masks"):
        for town, number in (("aachen", 0), ("bonn", 1)):
            path = data / part / "val" / f"{number}.png"
            (path.parent / town).mkdir()
            path.rename(path.parent / town / "0.png")
    assert main(["evaluate", str(artefact), "--data", str(data), "--json"]) == 0
    names = set(json.loads(capsys.readouterr().out)["images"])
    assert names == {"images/val/aachen/0.png", "images/val/bonn/0.png"}


def test_a_run_and_a_saved_model_get_a_report_to_look_at(
    run_folder: Path, artefact: Path, dataset_folder: Path, tmp_path: Path
) -> None:
    of_run = (run_folder / "report.html").read_text()  # written at the end of the training
    for heading in ("Scores", "Training", "Classes", "Confusion", "Calibration", "Predictions"):
        assert f"<h2>{heading}</h2>" in of_run
    assert of_run.count("data:image/jpeg;base64,") == 3  # of three images, each once
    for kind in ("best: ", "median: ", "worst: "):
        assert of_run.count(f"<figcaption>{kind}") == 1
    page = tmp_path / "flipped.html"
    command = ["evaluate", str(artefact), "--data", str(dataset_folder), "--split", "val"]
    assert main([*command, "--flip", "--window", "32,32", "--report", str(page)]) == 0
    assert "Inference mode: sliding_window_32x32+flip, scale auto (native)." in page.read_text()
    plain = json.loads((run_folder / "report.json").read_text())
    other = json.loads(page.with_suffix(".json").read_text())
    assert plain["calibration"] != other["calibration"]
    assert np.sum(plain["confusion"]) == np.sum(other["confusion"])
    assert set(plain["images"]) == {f"images/val/{number}.png" for number in range(3)}


def test_a_runs_report_shows_every_score_as_its_numbers_say(run_folder: Path) -> None:
    page = (run_folder / "report.html").read_text()
    numbers = json.loads((run_folder / "report.json").read_text())
    state = Run.open(run_folder).state
    facts = {
        "boundary F1": f"{numbers['boundary_f1']:.4f}",
        "calibration error": f"{numbers['calibration_error']:.4f}",
        "mean IoU": f"{numbers['mean_iou']:.4f}",
        "images a second, model alone": f"{numbers['images_per_second']:.1f}",
        "epochs": "2",
        "minutes": f"{state.seconds / 60:.1f}",
    }
    for name, value in facts.items():
        assert f"<b>{value}</b><span>{name}</span>" in page
    for name, iou in numbers["class_iou"].items():
        assert re.search(rf"{name}</td>\s*<td[^>]*>{iou:.4f}<", page)
    curve = page.split("<h2>Calibration</h2>")[1].split("<h2>")[0]
    assert f"{numbers['calibration_error']:.4f}<" in curve
    held = [pixels for pixels in numbers["calibration"]["pixels"] if pixels]
    assert curve.count("<circle") == len(held)


@pytest.mark.usefixtures("without_steps")
def test_a_folder_of_data_is_trained_by_a_recipe_that_is_chosen_for_it(
    dataset_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The choosing and the run around it."""
    folder = tmp_path / "chosen"
    command = ["train", str(dataset_folder), "--run", str(folder), "--network.width", "2"]
    assert main([*command, "--minutes", "0"]) == 0
    said = capsys.readouterr().out
    recipe = read_recipe(folder / "recipe.toml")
    assert recipe.network.width == 2  # what is given is not chosen
    assert "network.width = " not in said
    assert recipe.augmentation.crop == (32, 64)
    assert "augmentation.crop = [32, 64]: images of 41×56" in said
    assert recipe.epochs == 3  # the fewest
    assert "s a step were measured" in said
    assert "# class_weights = " in (folder / "recipe.toml").read_text()
    assert main(command) == 0
    assert "resuming it with its recipe" in capsys.readouterr().out


@pytest.mark.usefixtures("without_steps")
def test_without_weights_the_chosen_recipe_starts_from_the_bundled_nuclei(
    dataset_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not from what somebody else keeps under its name."""
    store = tmp_path / "zoo"
    shutil.copytree(BUNDLED_STORE / "nuclei" / "1", store / "nuclei" / "1")
    shutil.copytree(store / "nuclei" / "1", store / "nuclei" / "2")
    theirs = store / "nuclei" / "2" / "assets.extra" / "contract.json"
    theirs.write_text(theirs.read_text().replace("dsb2018", "mine"))
    monkeypatch.setattr("models.commands.train.BUNDLED_STORE", store)
    folder = tmp_path / "run"
    command = ["train", str(dataset_folder), "--run", str(folder), "--epochs", "1"]
    assert main(command) == 0
    assert f'network.weights = "{store}/nuclei/1"' in capsys.readouterr().out
    out = tmp_path / "exported"
    assert main(["export", str(folder), "--store", str(out), "--no-openvino"]) == 0
    (card,) = out.rglob("model_card.md")
    assert "from that of the model nuclei/1, which was trained on dsb2018 (CC0)" in card.read_text()


def test_an_exported_model_needs_a_data_folder(
    artefact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(artefact)]) == 1
    assert "--data" in capsys.readouterr().err


def test_a_second_export_is_the_next_version(run_folder: Path, artefact: Path) -> None:
    store = artefact.parents[1]
    command = ["export", str(run_folder), "--store", str(store), "--no-openvino"]
    assert main(command) == 0
    assert (store / "rectangles" / "2" / "saved_model.pb").is_file()
    assert main([*command, "--version", "2"]) == 1


def test_an_export_that_disagrees_leaves_no_folder(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is changed after it was written, so that the folder holds another one."""
    from models.export import saved_model

    write = saved_model.write_saved_model

    def write_and_change(network: Network, folder: Path, overlap: Overlap | None) -> None:
        write(network, folder, overlap)
        kernel, bias = network.model.get_layer("logits").get_weights()
        network.model.get_layer("logits").set_weights([-kernel, bias[::-1]])

    monkeypatch.setattr(saved_model, "write_saved_model", write_and_change)
    assert main(["export", str(run_folder), "--store", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_store_whose_name_looks_like_a_pattern_is_exported_to_and_scored(
    run_folder: Path, dataset_folder: Path, tmp_path: Path
) -> None:
    store = tmp_path / "st [v2]"
    assert main(["export", str(run_folder), "--store", str(store)]) == 0
    exported = store / "rectangles" / "1"
    assert main(["evaluate", str(exported), "--data", str(dataset_folder)]) == 0


def test_a_folder_that_is_no_run_cannot_be_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err
