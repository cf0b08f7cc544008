"""Question: how long does the int8 engine take for a picture, by the network of each recipe?

    .venv/bin/python -m benchmarks.recipe_speed --data SETS               (5 minutes)
    .venv/bin/python -m benchmarks.scores_report    # the table of README.md

SETS is a folder with one data set a subfolder, named as in the recipes. One picture of 480×384 at a
time, on one thread, all recipes in turn; one that goes on from another has that one's network. The
bundled models are timed as they are; of the other recipes an untrained network is exported and
quantised, since weights change no time.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.measuring import alternate, begin, summary
from benchmarks.pictures import photographs, source
from benchmarks.report import ZOO
from benchmarks.scores import HEADLINES, RECIPES, STARTS
from models.architectures.networks import build_by_options
from models.contract import read_contract
from models.data.dataset import Dataset
from models.data.reading import read_dataset
from models.export.artefact import ModelFacts
from models.export.quantize import QuantizeOptions, quantize
from models.export.saved_model import export_network
from models.training.recipe import Recipe, read_recipe
from service.runtimes.engine import EngineOptions
from service.runtimes.loading import load_engine

NAMES = [name for name in HEADLINES if name not in STARTS]
ROUNDS = 15
CALLS = 5
SIZE = (480, 384)  # width and height, multiples of every stride
CALIBRATION = 8  # images: enough, where no score counts
WARM_CALLS = 100  # after which a shape has what the engine has for those that come often
WARM_SECONDS = 3.0


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__, add_arguments=_add_arguments)
    with tempfile.TemporaryDirectory() as folder:
        works = {name: _work(_artefact(name, run.given.data, Path(folder))) for name in NAMES}
        for work in works.values():
            for _ in range(run.rounds(WARM_CALLS // CALLS)):
                work()
        time.sleep(run.seconds(WARM_SECONDS))
        rounds = alternate(
            {name: partial(_milliseconds, work) for name, work in works.items()},
            run.rounds(ROUNDS),
            "int8",
        )
    run.write(
        "recipe_speed",
        {
            "images": source(),
            "size": list(SIZE),
            "bundled": [name for name in NAMES if _bundled(name).is_dir()],
            "milliseconds": {name: summary(values) for name, values in rounds.items()},
        },
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")


def _bundled(name: str) -> Path:
    return ZOO / name / "1"


def _artefact(name: str, sets: Path, store: Path) -> Path:
    return _bundled(name) if _bundled(name).is_dir() else _untrained(name, sets, store)


def _untrained(name: str, sets: Path, store: Path) -> Path:
    """The recipe's network as it begins without ImageNet, exported with int8 files."""
    recipe = read_recipe(RECIPES / f"{name}.toml")
    dataset = read_dataset(sets / recipe.data, recipe.split, recipe.layout)
    classes = dataset.class_list.classes
    options = recipe.network.model_copy(update={"weights": None})
    network = build_by_options(len(classes), dataset.channels, options)
    artefact = export_network(network, _facts(name, recipe, dataset), f"# {name}\n", store)
    few = QuantizeOptions(images=CALIBRATION, max_drop_points=100)
    return quantize(artefact, dataset, few, replace=True).artefact


def _facts(name: str, recipe: Recipe, dataset: Dataset) -> ModelFacts:
    listed = dataset.class_list
    return ModelFacts(
        name=name,
        classes=listed.classes,
        background=listed.background,
        ignore=listed.ignore,
        architecture=recipe.network.name,
        upsampling=recipe.network.upsampling,
        training=None,
    )


def _work(artefact: Path) -> Callable[[], None]:
    """What runs every picture once, by the engine that serves the artefact in int8."""
    contract = read_contract(artefact)
    options = EngineOptions(name="openvino", precision="int8", threads=1)
    engine = load_engine(artefact, contract, options)
    pictures = [_pixels(file, contract.channels) for file in photographs(CALLS, SIZE)]

    def all_once() -> None:
        for picture in pictures:
            engine.class_map(picture)

    return all_once


def _pixels(file: bytes, channels: int) -> NDArray[np.uint8]:
    """A picture as engines take it, (1, H, W, channels)."""
    picture = Image.open(io.BytesIO(file)).convert("L" if channels == 1 else "RGB")
    return np.asarray(picture).reshape(1, SIZE[1], SIZE[0], channels)


def _milliseconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / CALLS * 1e3


if __name__ == "__main__":
    main()
