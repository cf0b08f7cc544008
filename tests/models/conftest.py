"""A dataset that a tiny network learns in seconds: rectangles of one colour a class on a dark
background."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

CLASSES = [
    {"id": 0, "name": "background", "color": "#000000"},
    {"id": 1, "name": "red", "color": "#e53935"},
    {"id": 2, "name": "blue", "color": "#1e88e5"},
]
IGNORE = 255
COLORS = np.array([(20, 20, 20), (220, 40, 40), (40, 60, 220)], np.uint8)


def scene(seed: int, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image (H, W, 3) of two rectangles, and its mask (H, W) with one void row."""
    draw = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    for class_id in (1, 2):
        top, left = draw.integers(0, height // 2), draw.integers(0, width // 2)
        mask[top : top + height // 2, left : left + width // 3] = class_id
    noise = draw.integers(-15, 16, (height, width, 3))
    image = np.clip(COLORS[mask] + noise, 0, 255).astype(np.uint8)
    mask[-1] = IGNORE
    return image, mask


def write_dataset(folder: Path, sizes: dict[str, int], *, gray: bool = False) -> Path:
    """Write `sizes[split]` scenes a split and classes.json."""
    seed = 0
    for split, count in sizes.items():
        for part in ("images", "masks"):
            (folder / part / split).mkdir(parents=True)
        for number in range(count):
            image, mask = scene(seed, 40 + number % 3, 56)
            picture = Image.fromarray(image).convert("L" if gray else "RGB")
            picture.save(folder / "images" / split / f"{number}.png")
            Image.fromarray(mask).save(folder / "masks" / split / f"{number}.png")
            seed += 1
    document = {"name": "rectangles", "ignore": IGNORE, "classes": CLASSES, "licence": "CC0"}
    (folder / "classes.json").write_text(json.dumps(document))
    return folder


def take_splits_away(folder: Path) -> None:
    """Move every file of a written dataset out of its split's folder; the split stays in its
    name."""
    for part in ("images", "masks"):
        for split in [path for path in (folder / part).iterdir() if path.is_dir()]:
            for path in split.iterdir():
                path.rename(folder / part / f"{split.name}{path.name}")
            split.rmdir()


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rectangles in colour: 8 train, 3 val, 2 test. Read only."""
    return write_dataset(tmp_path_factory.mktemp("rectangles"), {"train": 8, "val": 3, "test": 2})


@pytest.fixture
def own_dataset_folder(tmp_path: Path) -> Path:
    """A dataset that a test may spoil."""
    return write_dataset(tmp_path / "data", {"train": 2, "val": 1})


RECIPE = """
name = "rectangles"
data = "{data}"
epochs = 2
batch_size = 2
ema_decay = 0.5
class_weights = "inverse_log"
[network]
{network}
dropout = 0.2
[augmentation]
crop = [32, 48]
scale = [0.8, 1.2]
brightness = 0.1
[optimizer]
learning_rate = 3e-3
warmup_steps = 2
"""


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory, dataset_folder: Path) -> Path:
    """A recipe that trains a small U-Net on the rectangles in a few seconds."""
    path = tmp_path_factory.mktemp("recipe") / "rectangles.toml"
    network = 'name = "unet"\nencoder = "plain"\nwidth = 4'
    path.write_text(RECIPE.format(data=dataset_folder, network=network))
    return path


@pytest.fixture(scope="session")
def light_recipe_file(tmp_path_factory: pytest.TempPathFactory, dataset_folder: Path) -> Path:
    """The same with the network that is made, traced and kept in the least time; for what lies
    around a network."""
    path = tmp_path_factory.mktemp("recipe") / "light.toml"
    network = 'name = "fcn32s"\nwidth = 1'
    path.write_text(RECIPE.format(data=dataset_folder, network=network))
    return path


@pytest.fixture
def without_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings do all but their steps: batches are made and nothing is learned of them."""
    from models.training.trainer import Trainer

    monkeypatch.setattr(Trainer, "step", lambda *_: 0.5)
