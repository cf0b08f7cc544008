"""A run knows what it was trained on: data that move, change or are gone, and files of the run that
were cut short."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.cli import main
from models.contract import read_contract
from models.data.examination import Examination, examine
from models.training.run import BEST, LAST, METRICS, RECIPE, RECORD, STATE, Run
from tests.models.conftest import take_splits_away, write_dataset


@dataclass(frozen=True)
class Trained:
    """A finished run, its data, and the command that made it."""

    run: Path
    data: Path
    recipe: Path

    @property
    def train(self) -> list[str]:
        return ["train", str(self.recipe), "--data", str(self.data), "--run", str(self.run)]

    @property
    def evaluate(self) -> list[str]:
        return ["evaluate", str(self.run)]

    def copy(self, folder: Path) -> "Trained":
        """The same as if both had been copied to another machine: the recipe's path leads to
        nothing."""
        shutil.copytree(self.run, folder / "run")
        shutil.copytree(self.data, folder / "data")
        return Trained(folder / "run", folder / "data", self.recipe)

    def at_its_place(self, folder: Path) -> "Trained":
        """A copy whose recipe leads to the copied data."""
        copy = self.copy(folder)
        recipe = copy.run / RECIPE
        recipe.write_text(recipe.read_text().replace(str(self.data), str(copy.data)))
        return copy


@pytest.fixture(scope="module", autouse=True)
def _without_steps() -> Iterator[None]:
    """What a run knows of its data does not hang on what it learns of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.training.trainer.Trainer.step", lambda *_: 0.5)
        yield


@pytest.fixture(scope="module")
def _origin(tmp_path_factory: pytest.TempPathFactory, light_recipe_file: Path) -> Trained:
    folder = tmp_path_factory.mktemp("origin")
    data = write_dataset(folder / "data", {"train": 5, "val": 2, "test": 2})
    trained = Trained(folder / "run", data, light_recipe_file)
    assert main(trained.train) == 0
    assert main(trained.evaluate) == 0
    return trained


@pytest.fixture
def trained(_origin: Trained, tmp_path: Path) -> Trained:
    """A finished run of two epochs, scored on val, that a test may spoil, and so its data."""
    return _origin.at_its_place(tmp_path)


def class_list(data: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((data / "classes.json").read_text())
    return document


def rename(data: Path, *names: str) -> None:
    """Give the classes other names, with new ones at the end where there are more."""
    document = class_list(data)
    document["classes"] = [
        {"id": class_id, "name": name, "color": f"#00{class_id:02x}00"}
        for class_id, name in enumerate(names)
    ]
    (data / "classes.json").write_text(json.dumps(document))


def names_of(artefact: Path) -> list[str]:
    return [c.name for c in read_contract(artefact).classes]


def stop_after_one_epoch(trained: Trained) -> None:
    """Make the run one that has an epoch to go."""
    state = Run.open(trained.run).state
    assert state.epochs_done == 2
    recipe = trained.run / RECIPE
    recipe.write_text(recipe.read_text().replace("epochs = 2", "epochs = 3"))


# ---- export


def test_a_run_is_exported_without_its_data_from_any_folder(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(trained.data)
    monkeypatch.chdir(tmp_path)
    assert main(["export", "run", "--store", "store", "--no-openvino"]) == 0
    contract = read_contract(tmp_path / "store" / "rectangles" / "1")
    assert [c.name for c in contract.classes] == ["background", "red", "blue"]
    assert contract.training is not None
    assert contract.training.split_sizes == {"train": 5, "val": 2, "test": 2}
    assert (contract.training.dataset, contract.training.licence) == ("rectangles", "CC0")
    assert set(contract.training.scores) == {"val"}


@pytest.mark.parametrize("changed", [False, True], ids=["copied", "changed"])
def test_data_that_were_only_copied_fit_the_temperature_of_an_export(
    changed: bool, trained: Trained, tmp_path: Path
) -> None:
    """Copied files have other times, which says nothing of what is in them."""
    if changed:
        mask = min((trained.data / "masks" / "val").iterdir())
        Image.fromarray(np.array(Image.open(mask))[::-1]).save(mask)
    store = tmp_path / "store"
    assert main(["export", str(trained.run), "--store", str(store), "--no-openvino"]) == 0
    assert (read_contract(store / "rectangles" / "1").calibration is None) is changed


@pytest.mark.parametrize(
    "names",
    [
        ("background", "blue", "red"),
        ("background", "rouge", "blue"),
        ("background", "red", "blue", "green"),
        ("background", "red"),
    ],
    ids=["swapped", "renamed", "added", "removed"],
)
def test_classes_that_change_after_the_training_change_no_run(
    names: tuple[str, ...],
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The export has the classes of the training; scoring and resuming on the changed folder are
    refused."""
    rename(trained.data, *names)
    capsys.readouterr()
    assert main([*trained.evaluate]) == 1
    said = capsys.readouterr().err
    assert "to the model and" in said or "the model has 3 classes" in said
    assert main(trained.train) == 1
    said = capsys.readouterr().err
    assert "was trained on other data than" in said
    assert "Nothing was trained" in said
    store = tmp_path / "store"
    assert main(["export", str(trained.run), "--store", str(store), "--no-openvino"]) == 0
    assert names_of(store / "rectangles" / "1") == ["background", "red", "blue"]


def test_labels_that_change_their_order_are_found_in_layouts_without_a_class_list(
    light_recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """LabelMe's ids are the labels in alphabetical order: a new name puts the other first."""
    data, run = tmp_path / "labelled", tmp_path / "run"
    write_labelme(data, "car", "tree")
    command = [
        "train",
        str(light_recipe_file),
        "--data",
        str(data),
        "--run",
        str(run),
        "--epochs",
        "1",
    ]
    assert main([*command, "--epochs", "1", "--split.fraction", "0.4"]) == 0
    write_labelme(data, "wagon", "tree")
    assert main(["evaluate", str(run)]) == 1
    assert "class 1 is 'car' to the model and 'tree' in" in capsys.readouterr().err
    assert main([*command, "--epochs", "1", "--split.fraction", "0.4"]) == 1
    assert "class 1 is 'tree', and was 'car'" in capsys.readouterr().err
    assert main(["export", str(run), "--store", str(tmp_path), "--no-openvino"]) == 0
    assert names_of(tmp_path / "rectangles" / "1") == ["background", "car", "tree"]


def write_labelme(folder: Path, first: str, second: str) -> None:
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(0)
    for number in range(5):
        pixels = draw.integers(0, 256, (40, 48, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        shapes = [
            {"label": label, "shape_type": "rectangle", "points": [[left, 4], [left + 9, 30]]}
            for label, left in ((first, 3), (second, 25))
        ]
        document = {"imagePath": f"{number}.png", "shapes": shapes}
        (folder / f"{number}.json").write_text(json.dumps(document))


# ---- train


def test_a_finished_run_says_that_nothing_was_trained(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained.run / LAST).stat().st_mtime_ns
    capsys.readouterr()
    assert main(trained.train) == 0
    said = capsys.readouterr().out
    assert f"{trained.run} is finished; nothing was trained." in said
    assert re.search(r"2 epochs in (less than a minute|\d+ minutes?); best val mIoU", said)
    assert (trained.run / LAST).stat().st_mtime_ns == before


def an_image_more(data: Path) -> None:
    for part in ("images", "masks"):
        shutil.copy(data / part / "train" / "0.png", data / part / "train" / "9.png")


def inverted_masks(data: Path) -> None:
    for path in sorted((data / "masks").rglob("*.png")):
        ids = np.asarray(Image.open(path))
        Image.fromarray(np.choose(np.where(ids > 2, 3, ids), (1, 0, 2, 255)).astype(np.uint8)).save(
            path
        )


def another_picture(data: Path) -> None:
    path = data / "images" / "val" / "0.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def another_name(data: Path) -> None:
    for part in ("images", "masks"):
        (data / part / "train" / "0.png").rename(data / part / "train" / "00.png")


def swapped_colors(data: Path) -> None:
    """Colour masks whose files stay as they are, and whose ids do not."""
    document = class_list(data)
    first, second = document["classes"][1:]
    first["color"], second["color"] = second["color"], first["color"]
    (data / "classes.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (an_image_more, "train has 6 images, and had 5"),
        (inverted_masks, "the masks of train are others, by name or by content"),
        (another_picture, "the pictures of val are others, by name or by content"),
        (another_name, "the pictures of train are others, by name or by content"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "not finished"])
def test_a_run_is_not_resumed_on_data_that_have_changed(
    finished: bool,
    change: Callable[[Path], None],
    what: str,
    trained: Trained,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(trained.data)
    command = trained.train
    if not finished:
        stop_after_one_epoch(trained)
        command += ["--epochs", "3"]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert what in said
    assert "give another --run folder" in said.lower()
    assert Run.open(trained.run).state.epochs_done == 2


def test_colors_that_are_swapped_in_the_class_list_are_other_masks(
    light_recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data", {"train": 3, "val": 1})
    colors = np.zeros((256, 3), np.uint8)
    for entry in class_list(data)["classes"]:
        colors[entry["id"]] = [int(entry["color"][i : i + 2], 16) for i in (1, 3, 5)]
    for path in (data / "masks").rglob("*.png"):
        ids = np.asarray(Image.open(path))
        Image.fromarray(colors[np.where(ids == 255, 0, ids)]).save(path)
    trained = Trained(tmp_path / "run", data, light_recipe_file)
    assert main([*trained.train, "--epochs", "1"]) == 0
    swapped_colors(data)
    assert main([*trained.train, "--epochs", "1"]) == 1
    assert "the masks of train are others" in capsys.readouterr().err


def test_another_folder_is_not_trained_into_the_run_of_the_first(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a folder of data alone, as who has labelled more says it."""
    other = write_dataset(tmp_path / "other", {"train": 6, "val": 2})
    assert main(["train", str(other), "--run", str(trained.run)]) == 1
    said = capsys.readouterr().err
    assert f"the run in {trained.run} was trained on other data than {other} holds now" in said
    assert main(["train", str(other), "--run", str(trained.run), "--data", str(other)]) == 1
    assert "--data is for a recipe" in capsys.readouterr().err


def test_the_same_data_in_another_place_resume_the_run(trained: Trained, tmp_path: Path) -> None:
    stop_after_one_epoch(trained)
    moved = trained.data.rename(tmp_path / "moved")
    command = ["train", str(trained.recipe), "--data", str(moved), "--run", str(trained.run)]
    assert main([*command, "--epochs", "3"]) == 0
    assert Run.open(trained.run).state.epochs_done == 3


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one with each examination."""
    folders: list[str] = []

    def counted(*asked: Any, **options: Any) -> Examination:
        folders.append(str(asked[0].folder))
        return examine(*asked, **options)

    for module in ("training.train", "training.choice", "data.examination"):
        monkeypatch.setattr(f"models.{module}.examine", counted)
    return folders


def test_a_folder_whose_recipe_is_chosen_is_examined_once(
    examined: list[str], dataset_folder: Path, tmp_path: Path
) -> None:
    command = ["train", str(dataset_folder), "--run", str(tmp_path / "run"), "--epochs", "1"]
    assert main([*command, "--network.encoder", "plain", "--network.width", "2"]) == 0
    assert len(examined) == 1


def test_data_of_which_no_file_changes_are_not_examined_again(
    examined: list[str], trained: Trained, tmp_path: Path
) -> None:
    """But for the masks of a split that was not read yet. The first command finds a copy, whose
    files are new."""
    assert main(trained.train) == 0
    assert len(examined) == 1
    assert main(trained.train) == 0
    assert main(trained.evaluate) == 0
    assert main(["export", str(trained.run), "--store", str(tmp_path), "--no-openvino"]) == 0
    assert len(examined) == 1
    assert main([*trained.evaluate, "--split", "test"]) == 0
    assert len(examined) == 2


def test_a_run_that_could_not_be_kept_is_refused_before_anything_is_read(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    for what in (str(trained.recipe), str(trained.data)):
        assert main(["train", what, "--run", str(tmp_path / "file" / "run")]) == 1
        assert "cannot be written below" in capsys.readouterr().err


def test_a_training_that_cannot_begin_leaves_no_run(
    light_recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", str(light_recipe_file), "--data", "nowhere", "--run", str(run)]) == 1
    assert "nowhere is not a folder" in capsys.readouterr().err
    assert not run.exists()


# ---- evaluate


def test_data_that_have_moved_are_scored_where_they_are_said_to_be(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are the run's own still, so that their scores reach the card."""
    shutil.rmtree(trained.run / "scores")
    moved = trained.data.rename(tmp_path / "moved")
    assert main(trained.evaluate) == 1
    said = capsys.readouterr().err
    assert f"{trained.data}, which is not there; say where its data are now: --data FOLDER" in said
    assert main([*trained.evaluate, "--data", str(moved)]) == 0
    assert set(Run.open(trained.run).scores()) == {"val"}


def test_a_split_that_the_run_was_trained_on_is_not_scored_as_another(
    tmp_path: Path, light_recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By flags that divide the folder anew, and in another folder under other names. As train it
    may be scored."""
    whole = write_dataset(tmp_path / "whole", {"train": 12})
    take_splits_away(whole)
    run = tmp_path / "whole-run"
    command = ["train", str(light_recipe_file), "--data", str(whole), "--run", str(run)]
    assert main([*command, "--epochs", "1", "--split.fraction", "0.3"]) == 0
    divided = ["evaluate", str(run), "--split", "test", "--split.test", "0.3"]
    capsys.readouterr()
    assert main(divided) == 1
    said = capsys.readouterr().err
    assert f"{run} was trained on" in said
    assert "pictures of test in" in said
    assert "say split.test or split.fraction before a training" in said
    other = write_dataset(tmp_path / "other", {"val": 12})  # the same pictures by other names
    learned = len(json.loads((run / RECORD).read_text())["learned"])
    assert 0 < learned < 12
    assert main(["evaluate", str(run), "--data", str(other)]) == 1
    assert f"was trained on {learned} of the 12 pictures of val in" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--split", "train"]) == 0


def test_a_split_that_is_not_there_names_the_option_that_takes_it_off(
    light_recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data", {"train": 3, "val": 1})
    run = tmp_path / "run"
    command = ["train", str(light_recipe_file), "--data", str(data), "--run", str(run)]
    assert main([*command, "--epochs", "1"]) == 0
    assert main(["evaluate", str(run), "--split", "test"]) == 1
    assert "or let split.test take them off train before a training" in capsys.readouterr().err


def test_a_split_with_other_pictures_than_it_had_is_scored_and_does_not_reach_the_card(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    another_picture(trained.data)
    shutil.rmtree(trained.run / "scores")
    assert main(trained.evaluate) == 0
    assert "is not what it was when" in capsys.readouterr().err
    assert Run.open(trained.run).scores() == {}


# ---- runs of release 0.1


@pytest.fixture
def old(trained: Trained) -> Trained:
    """A run as release 0.1 left it: with no class list, and the recipe's old names."""
    (trained.run / RECORD).unlink()
    recipe = trained.run / RECIPE
    recipe.write_text(recipe.read_text().replace("ema_decay", "average"))
    return trained


def test_a_run_of_release_0_1_is_scored_exported_and_resumed_where_its_data_are(
    old: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(old.run / "scores")
    export = ["export", str(old.run), "--store", str(tmp_path), "--no-openvino"]
    assert main(old.evaluate) == 0
    assert main(export) == 0
    contract = read_contract(tmp_path / "rectangles" / "1")
    assert contract.training is not None
    assert set(contract.training.scores) == {"val"}
    moved = old.data.rename(tmp_path / "moved")
    assert main(export) == 1
    assert "kept no class list, and its data are not at" in capsys.readouterr().err
    assert main([*export, "--data", str(moved)]) == 0
    assert names_of(tmp_path / "rectangles" / "2") == ["background", "red", "blue"]
    stop_after_one_epoch(old)
    command = ["train", str(old.recipe), "--data", str(moved), "--run", str(old.run)]
    assert main([*command, "--epochs", "3"]) == 0
    assert (old.run / RECORD).is_file()
    assert main([*export, "--data", str(moved)]) == 1
    assert "keeps its classes itself; leave --data out" in capsys.readouterr().err


def test_a_run_of_release_0_1_is_known_by_the_classes_in_its_metrics(
    old: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rename(old.data, "background", "blue", "red")
    commands = (
        (["export", str(old.run), "--store", str(tmp_path)], "class 1 is 'blue', and was 'red'"),
        (old.evaluate, "class 1 is 'red' to the model and 'blue' in"),
        (old.train, "class 1 is 'blue', and was 'red'"),
    )
    for command, sentence in commands:
        assert main(command) == 1
        assert sentence in capsys.readouterr().err


def test_scores_of_other_class_names_say_what_to_do(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who renames a class in the run as well, since it is the same by a better name."""
    record = trained.run / RECORD
    record.write_text(record.read_text().replace('"red"', '"rouge"'))
    export = ["export", str(trained.run), "--store", str(tmp_path), "--no-openvino"]
    assert main(export) == 1
    assert f"say segtrain evaluate {trained.run} --split val again" in capsys.readouterr().err
    rename(trained.data, "background", "rouge", "blue")
    assert main(trained.evaluate) == 0
    assert main(export) == 0
    assert names_of(tmp_path / "rectangles" / "1") == ["background", "rouge", "blue"]


# ---- files that were cut short


@pytest.mark.parametrize("length", ["half", "nothing"])
@pytest.mark.parametrize(
    ("name", "command"),
    [
        (BEST, "evaluate"),
        (BEST, "export"),
        (LAST, "train"),
        (RECORD, "evaluate"),
        (RECORD, "export"),
        (RECORD, "train"),
        (METRICS, "train"),
        ("scores/val.json", "export"),
    ],
)
def test_a_file_of_a_run_that_was_cut_short_is_one_sentence(
    name: str,
    command: str,
    length: str,
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (trained.run / "report.html").unlink()
    path = trained.run / name
    os.truncate(path, path.stat().st_size // 2 if length == "half" else 0)
    commands = {
        "evaluate": trained.evaluate,
        "export": ["export", str(trained.run), "--store", str(tmp_path / "store")],
        "train": trained.train,
    }
    capsys.readouterr()
    assert main(commands[command]) == 1
    said = capsys.readouterr().err
    assert f"segtrain: {path} cannot be read (" in said
    assert "copy the run again" in said
    assert "Traceback" not in said


def test_the_state_of_a_run_of_release_0_1_that_was_cut_short_is_one_sentence(
    old: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    """Later ones keep their state in the checkpoint itself."""
    os.truncate(old.run / STATE, 20)
    assert main(old.train) == 0
    (old.run / LAST).unlink()
    assert main(old.train) == 1
    assert f"segtrain: {old.run / STATE} cannot be read (" in capsys.readouterr().err
