import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.contract import RECIPE_PATH
from models.data.examination import examine
from models.data.fingerprint import Fingerprint, fingerprint
from models.data.reading import read_dataset
from models.training import choice
from models.training.choice import choose_by_data, choose_recipe, run_name
from models.training.recipe import Recipe, RecipeError, read_recipe
from tests.models.conftest import write_dataset

ZOO = Path(__file__).parents[3] / "models" / "zoo"

CELLS = Fingerprint(
    images=20,
    size=(512, 480),
    channels=1,
    class_pixels=np.array([900, 100]),
    object_side=40.0,
    thinnest=20.0,
    up_down=0.01,
    left_right=0.02,
    up_down_t=0.5,
)


def chosen(found: Fingerprint, trained: Path | None = None, **network: str | int) -> dict[str, Any]:
    given = {f"network.{field}": value for field, value in network.items()}
    return {chosen.field: chosen.value for chosen in choose_by_data(found, given, trained)}


def test_the_fingerprint_measures_sizes_regions_and_halves(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", {"train": 2, "val": 1})
    for path in (folder / "masks" / "train").iterdir():
        with Image.open(path) as mask:
            ids = np.zeros((mask.height, mask.width), np.uint8)
        ids[:8, :8], ids[:8, 20:28] = 1, 1  # two squares above, nothing below
        Image.fromarray(ids).save(path)
    dataset = read_dataset(folder)
    found = fingerprint(dataset, examine(dataset, ("train", "val")))
    assert (found.images, found.channels, found.object_side) == (2, 3, 8.0)
    assert found.size == (40, 56)  # of heights 40, 41 and 40
    assert found.class_pixels.tolist() == [40 * 56 + 41 * 56 - 256, 256, 0]
    assert found.up_down == pytest.approx(128 / (20 * 56))
    assert found.thinnest == pytest.approx(2 * 128 / (15 + 22))  # by area and outline
    assert found.up_down_t > 1000  # the same in both, so no chance


def test_the_t_of_halves_is_students(tmp_path: Path) -> None:
    """Class 1 above in some pictures and below in others, by 8×8, 8×16 or 8×24 pixels of 20×56."""
    folder = write_dataset(tmp_path / "data", {"train": 4, "val": 1})
    masks = sorted((folder / "masks" / "train").iterdir())
    widths = (8, 16, 24, -8)
    for path, width in zip(masks, widths, strict=True):
        with Image.open(path) as mask:
            ids = np.zeros((mask.height, mask.width), np.uint8)
        rows = slice(8) if width > 0 else slice(-8, None)
        ids[rows, : abs(width)] = 1
        Image.fromarray(ids).save(path)
    dataset = read_dataset(folder)
    found = fingerprint(dataset, examine(dataset, ("train", "val")))
    differences = np.array(widths) * 8 / (20 * 56)
    expected = differences.mean() / (differences.std(ddof=1) / 2)
    assert found.up_down_t == pytest.approx(expected, rel=0.05)  # heights differ by a row
    assert not found.has_up


@pytest.mark.parametrize("power", [0, 1])
def test_objects_grow_with_the_picture_or_not(tmp_path: Path, power: int) -> None:
    """Squares of 20 or 21 pixels, or of about a fifth of the long side, in 24 pictures of 60 to 175
    pixels."""
    folder = write_dataset(tmp_path / "data", {"train": 24, "val": 1})
    for number, path in enumerate(sorted((folder / "masks" / "train").iterdir())):
        side = 60 + 5 * number
        ids = np.zeros((side - 10, side), np.uint8)
        object_side = round((20 + number % 2) * (side / 100) ** power)
        ids[10 : 10 + object_side, 10 : 10 + object_side] = 1
        Image.fromarray(ids).save(path)
        image = folder / "images" / "train" / path.name
        Image.new("RGB", (side, side - 10)).save(image)
    dataset = read_dataset(folder)
    found = fingerprint(dataset, examine(dataset, ("train", "val")))
    assert found.growth == pytest.approx(power, abs=0.1)
    assert 0 < found.growth_error < 0.1
    assert found.grows_with_picture is bool(power)


def test_pictures_without_up_and_down_are_turned_and_few_are_bent() -> None:
    options = chosen(CELLS)
    assert options["augmentation.vertical_flip"]
    assert options["augmentation.rotation"] == 180.0
    assert options["augmentation.elastic"] > 0
    street = chosen(replace(CELLS, up_down=0.4, images=500))
    assert not street["augmentation.vertical_flip"]
    assert not street["augmentation.rot90"]
    assert street["augmentation.flip"]
    assert "augmentation.elastic" not in street
    assert not chosen(replace(CELLS, left_right=0.3))["augmentation.flip"]


def test_many_pictures_tell_an_up_by_less_than_few_do() -> None:
    """A pet's picture has more of the pet below, by a few percent of the picture."""
    pets = replace(CELLS, images=260, up_down=0.07, up_down_t=7.3)
    assert not chosen(pets)["augmentation.vertical_flip"]
    assert chosen(replace(pets, up_down_t=2.0))["augmentation.vertical_flip"]  # by chance
    assert chosen(replace(pets, up_down=0.01))["augmentation.vertical_flip"]  # next to nothing
    assert chosen(replace(pets, images=20))["augmentation.vertical_flip"]  # of one field, perhaps


@pytest.mark.parametrize("object_side", [10.0, 400.0])
def test_views_cover_a_factor_of_two_in_both_directions(object_side: float) -> None:
    low, high = chosen(replace(CELLS, object_side=object_side))["augmentation.scale"]
    assert low <= 0.5
    assert high >= 2


def test_whoever_says_that_there_is_an_up_gets_no_turns() -> None:
    given = {"augmentation.vertical_flip": False}
    options = {choice.field: choice.value for choice in choose_by_data(CELLS, given)}
    assert not options["augmentation.rot90"]
    assert "augmentation.rotation" not in options
    assert options["augmentation.flip"]
    hints = [c.reason for c in choose_by_data(CELLS, {}) if c.field == "augmentation.vertical_flip"]
    assert "say false where the images have an up" in hints[0]


def test_rare_classes_are_weighted_and_dice_counts_all_alike() -> None:
    def loss(*pixels: int) -> tuple[str, list[str]]:
        options = chosen(replace(CELLS, class_pixels=np.array(pixels)))
        return options["class_weights"], [term["name"] for term in options["loss.terms"]]

    assert loss(500, 400, 0) == ("none", ["cross_entropy", "dice"])
    assert loss(1000, 50) == ("inverse_log", ["cross_entropy", "dice"])


def test_given_weights_choose_their_encoder_and_keep_it() -> None:
    given = chosen(CELLS, weights="file.h5")
    assert given["network.encoder"] == "mobilenet_v2"
    assert "network.width" not in given
    assert given["optimizer.encoder_lr_multiplier"] == choice.ENCODER_RATE
    assert given["network.feature_norm"]
    assert "network.feature_norm" not in chosen(CELLS)
    assert chosen(CELLS)["network.encoder"] == "plain"
    assert "optimizer.encoder_lr_multiplier" not in chosen(CELLS)


@pytest.mark.parametrize(("gpus", "is_chosen"), [(0, True), (1, False)])
def test_a_cpu_that_multiplies_bfloat16_trains_in_it(
    gpus: int, is_chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_gpus", lambda: gpus)
    monkeypatch.setattr(choice, "_cpu_flags", lambda: frozenset({"avx2", "amx_bf16"}))
    assert (chosen(CELLS).get("precision") == "bfloat16") is is_chosen
    assert "precision" not in chosen(CELLS, encoder="keras:EfficientNetV2B0")
    monkeypatch.setattr(choice, "_cpu_flags", lambda: frozenset({"avx2"}))
    assert "precision" not in chosen(CELLS)


def test_a_start_gives_its_network_and_learns_slowly() -> None:
    bundled = ZOO / "street" / "1"
    options = chosen(CELLS, Path("zoo/nuclei/1"), initialize_from=str(bundled))
    network = read_recipe(bundled / RECIPE_PATH).network
    for field in ("name", "encoder", "width", "upsampling", "padding", "dropout", "feature_norm"):
        assert options[f"network.{field}"] == getattr(network, field)
    assert "network.weights" not in options
    assert options["optimizer.learning_rate"] == choice.FINE_TUNING_RATE
    assert options["optimizer.encoder_lr_multiplier"] == choice.ENCODER_RATE


def test_a_start_of_another_name_is_a_coarser_fcn_and_chooses_nothing(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('name = "c"\ndata = "d"\n[network]\nname = "fcn32s"\n')
    own = chosen(CELLS, initialize_from=str(tmp_path))
    assert (own["network.name"], own["network.encoder"]) == ("fcn32s", "vgg16")
    options = chosen(CELLS, name="fcn16s", initialize_from=str(tmp_path))
    assert not {field for field in options if field.startswith(("network.", "optimizer."))}


def test_nothing_starts_from_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="neither a run nor an exported model"):
        chosen(CELLS, initialize_from=str(tmp_path))


def test_another_network_keeps_its_own_encoder_at_the_full_rate() -> None:
    given = {"network.name": "segnet"}
    fields = {choice.field for choice in choose_by_data(CELLS, given, Path("zoo/nuclei/1"))}
    assert not {field for field in fields if field.startswith(("network.", "optimizer."))}
    assert "augmentation.crop" in fields


def test_views_are_blurred_noisy_and_compressed_but_thin_classes_stay_sharp() -> None:
    options = chosen(CELLS)
    assert options["augmentation.blur"] > 0
    assert options["augmentation.noise"] > 0
    assert 0 < options["augmentation.jpeg"] < 100
    assert "augmentation.blur" not in chosen(replace(CELLS, thinnest=3.0))


def test_a_bundled_models_encoder_is_started_from_unless_a_common_class_is_thin() -> None:
    bundled = Path("zoo/nuclei/1")
    assert chosen(CELLS, bundled)["network.weights"] == "zoo/nuclei/1"
    assert chosen(CELLS, bundled)["network.encoder"] == "mobilenet_v2"
    assert "network.weights" not in chosen(CELLS, bundled, weights="file.h5")
    thin = chosen(replace(CELLS, thinnest=3.0), bundled)
    assert (thin["network.encoder"], "network.weights" in thin) == ("plain", False)
    asked_for = chosen(replace(CELLS, thinnest=3.0), bundled, encoder="mobilenet_v2")
    assert asked_for["network.weights"] == "zoo/nuclei/1"


@pytest.mark.parametrize(
    ("field", "value"),
    [("encoder", "vgg16"), ("width", 2), ("upsampling", "max_unpool"), ("padding", "valid")],
)
def test_what_goes_with_no_mobilenet_keeps_the_choice_from_it(
    field: str, value: Any, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_step_seconds", lambda *_: 0.1)
    recipe = choose_recipe(
        dataset_folder, 1, {"network": {field: value}}, Path("zoo/nuclei/1")
    ).recipe
    assert getattr(recipe.network, field) == value
    assert recipe.network.encoder == (value if field == "encoder" else "plain")
    assert recipe.network.weights is None


@pytest.mark.parametrize(
    ("field", "value"), [("weights", str(ZOO / "street" / "1")), ("feature_norm", True)]
)
def test_what_only_a_trained_encoder_has_can_be_given_without_naming_it(
    field: str, value: Any, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_step_seconds", lambda *_: 0.1)
    chosen = choose_recipe(dataset_folder, 1, {"network": {field: value}}, Path("zoo/nuclei/1"))
    assert chosen.recipe.network.encoder == "mobilenet_v2"
    assert getattr(chosen.recipe.network, field) == value


def test_val_is_looked_at_for_a_tenth_of_the_time_and_ten_times_at_least(
    dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four steps of 2 images an epoch, views of 32×64; val has two images of about 41×56, a third
    of a step each by the pixel."""
    monkeypatch.setattr(choice, "_step_seconds", lambda *_: 0.1)

    def scorings(minutes: float, crop: tuple[int, int]) -> tuple[int, int]:
        changes = {"augmentation": {"crop": crop}, "batch_size": 2}
        recipe = choose_recipe(dataset_folder, minutes, changes).recipe
        return recipe.eval_every, recipe.epochs

    every, epochs = scorings(1, (32, 64))
    assert every == 2  # 0.04 of 0.4 s are just more than a tenth
    assert epochs == pytest.approx(60 / (0.4 + 0.04 / 2), abs=4)
    # Of views of 16×16 the steps of an epoch take 0.4 s and val 0.3: every 8th by the time, but of
    # 25 epochs that is too seldom.
    every, epochs = scorings(0.3, (16, 16))
    assert every == 2
    assert epochs >= 10 * every


def test_without_validation_the_time_is_all_for_steps_and_nothing_is_said_of_val(
    dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_step_seconds", lambda *_: 0.1)
    changes = {"batch_size": 2, "split": {"validation": False}}
    chosen = choose_recipe(dataset_folder, 1, changes)
    assert list(chosen.examination.splits) == ["train"]
    steps = math.ceil(len(chosen.examination.dataset.split("train")) / 2)
    assert chosen.recipe.epochs == pytest.approx(60 / (0.1 * steps), abs=1)
    assert "eval_every" not in {one.field for one in chosen.choices}


def test_given_epochs_leave_the_choice_of_what_goes_by_their_number(
    dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 epochs of four steps of 2 images: val as often as in the test above, whatever the
    minutes."""
    monkeypatch.setattr(choice, "_step_seconds", lambda *_: 0.1)
    changes = {"augmentation": {"crop": (16, 16)}, "batch_size": 2, "epochs": 25}
    chosen = choose_recipe(dataset_folder, 1e6, changes)
    recipe, choices = chosen.recipe, chosen.choices
    assert recipe.epochs == 25
    assert (recipe.eval_every, recipe.optimizer.warmup_steps, recipe.ema_decay) == (2, 10, 0.9)
    assert "epochs" not in {chosen.field for chosen in choices}


def test_the_crop_is_no_larger_than_the_pictures_and_color_is_changed_where_there_is_some() -> None:
    assert chosen(replace(CELLS, size=(100, 70)))["augmentation.crop"] == [96, 64]
    assert chosen(CELLS)["augmentation.crop"] in ([256, 256], [512, 480])  # without or with a GPU
    assert "augmentation.saturation" not in chosen(CELLS)
    assert "augmentation.saturation" in chosen(replace(CELLS, channels=3))


def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def step(_: Fingerprint, recipe: Recipe) -> float:
        tried.append(recipe.batch_size)
        if recipe.batch_size > fits:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return 0.1

    monkeypatch.setattr(choice, "_step_seconds", step)
    fits = 1
    chosen = choose_recipe(dataset_folder, 1, {})
    recipe, choices = chosen.recipe, chosen.choices
    assert (tried, recipe.batch_size) == ([2, 1], 1)
    assert [c.reason for c in choices if c.field == "batch_size"] == [
        "2 images did not fit into the device's memory"
    ]
    fits = 0
    with pytest.raises(RecipeError, match="set a smaller batch_size"):
        choose_recipe(dataset_folder, 1, {})


def test_a_folders_name_becomes_a_models_name() -> None:
    assert run_name(Path("/data/Street scenes (2024)")) == "Street-scenes-2024"
