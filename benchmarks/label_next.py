r"""Question: do ten percent of the labels teach more where `segserve rank` has chosen them?

    .venv/bin/python -m benchmarks.label_next --camvid CAMVID --dsb2018 DSB2018 \
        --weights MOBILENET_V2_WEIGHTS

For each data set and seed: 5 % of train drawn at random are labeled and trained on; the exported
model ranks the rest. Then twice from the start, alike in all else: on these and the 5 % that it
ranked first, and on these and 5 % more drawn at random. The budget is small and the same for all,
CamVid is halved; scored on test, by which nothing was chosen. Resumes where it was stopped; about
half an hour on one core.
"""

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from benchmarks.label_next_report import ARMS, RESULTS, write
from models.architectures.network import Network
from models.architectures.networks import build_network
from models.contract import atomic
from models.contract.preprocessing import FrameScale
from models.data.dataset import ClassList, Sample
from models.data.reading import read_dataset
from models.export.artefact import ModelFacts
from models.export.saved_model import export_network
from models.training.evaluation import network_predictor
from models.training.losses import SegmentationLoss, class_weights
from models.training.metrics import ConfusionMatrix
from models.training.options import ClassWeighting, LossOptions

SEEDS = (1, 2, 3)
SHARE = 0.05  # of train: drawn at random at first, and added by each of the two ways
STEPS, BATCH, RATE = 80, 6, 1e-3

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass
class Data:
    """A data set in memory, its images at one over `shrink` of their size."""

    name: str
    folder: Path
    shrink: int
    crop: tuple[int, int]

    def __post_init__(self) -> None:
        dataset = read_dataset(self.folder)
        self.class_list: ClassList = dataset.class_list
        self.train = {sample.image.name: self._read(sample) for sample in dataset.split("train")}
        self.test = [self._read(sample) for sample in dataset.split("test")]

    @property
    def classes(self) -> int:
        return len(self.class_list.classes)

    def _read(self, sample: Sample) -> Pair:
        image, mask = sample.read(3)
        size = mask.shape[1] // self.shrink, mask.shape[0] // self.shrink
        small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
        ids = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
        return np.asarray(small), np.asarray(ids)

    def batches(
        self, names: list[str], seed: int
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """Random crops, half of them mirrored."""
        draw = np.random.default_rng(seed)
        for _ in range(STEPS):
            pairs = [self._crop(draw, names[draw.integers(len(names))]) for _ in range(BATCH)]
            images, masks = zip(*pairs, strict=True)
            yield np.stack(images).astype(np.float32), np.stack(masks)

    def _crop(self, draw: np.random.Generator, name: str) -> Pair:
        image, mask = self.train[name]
        room = [have - want for have, want in zip(mask.shape, self.crop, strict=True)]
        top, left = (int(draw.integers(max(0, most) + 1)) for most in room)
        window = np.s_[top : top + self.crop[0], left : left + self.crop[1]]
        direction = draw.choice((1, -1))
        return image[window][:, ::direction], mask[window][:, ::direction]


class Learner:
    """One network that is trained again and again, so that its graph is traced once."""

    def __init__(self, data: Data, weights: str) -> None:
        self._data, self._weights = data, weights
        self.network = self._build(1)
        model = self.network.model
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.9  # its averages are to be there after a hundred steps
        counts = sum(np.bincount(m.ravel(), minlength=256) for _, m in data.train.values())
        scheme: ClassWeighting = "inverse_log" if data.classes > 2 else "none"
        weighing = class_weights(scheme, np.asarray(counts)[: data.classes])
        loss = SegmentationLoss(LossOptions(), weighing)
        warm_up = STEPS // 10
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, STEPS - warm_up, warmup_target=RATE, warmup_steps=warm_up
        )
        self._optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01)
        model.compile(self._optimizer, lambda masks, logits: loss(masks, logits))
        self._optimizer.build(model.trainable_variables)
        self._predict = network_predictor(self.network.model).class_maps

    def train(self, names: list[str], seed: int) -> None:
        self.network.model.set_weights(self._build(seed).model.get_weights())
        for variable in self._optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        for batch in self._data.batches(names, seed):
            self.network.model.train_on_batch(*batch)

    def score(self) -> float:
        """The mean IoU on test."""
        confusion = ConfusionMatrix(self._data.classes)
        for image, mask in self._data.test:
            confusion.add(mask, self._predict(image[np.newaxis])[0])
        return confusion.scores().mean_iou

    def export(self, store: Path) -> None:
        class_list, shrink = self._data.class_list, self._data.shrink
        sides = [max(mask.shape) for _, mask in self._data.train.values()]
        facts = ModelFacts(
            name=self._data.name,
            classes=class_list.classes,
            background=class_list.background,
            ignore=class_list.ignore,
            architecture="unet",
            upsampling="bilinear",
            training=None,
            scale=FrameScale(kind="frame", long_side=max(sides)) if shrink > 1 else None,
        )
        export_network(self.network, facts, "", store, with_openvino=True)

    def _build(self, seed: int) -> Network:
        keras.utils.set_random_seed(seed)
        return build_network(
            "unet",
            classes=self._data.classes,
            channels=3,
            encoder="mobilenet_v2",
            weights=self._weights,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--dsb2018", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/label_next"))
    given = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for data in (
        Data("camvid", given.camvid.resolve(), 2, (128, 160)),
        Data("dsb2018", given.dsb2018.resolve(), 1, (128, 128)),
    ):
        keras.backend.clear_session()
        learner = Learner(data, given.weights)
        for seed in SEEDS:
            done = results.setdefault(data.name, {}).setdefault(str(seed), {})
            for arm in ARMS:
                if arm not in done:
                    done[arm] = _train(data, learner, seed, arm, given.work / data.name / str(seed))
                    atomic.write_text(RESULTS, json.dumps(results, indent=2) + "\n")
                    print(data.name, seed, arm, done[arm], flush=True)
    write(results)


def _train(data: Data, learner: Learner, seed: int, arm: str, work: Path) -> dict[str, Any]:
    drawn = sorted(data.train)
    random.Random(seed).shuffle(drawn)
    count = round(SHARE * len(drawn))
    names = drawn[: count if arm == "first" else 2 * count]
    if arm == "ranked":
        names = drawn[:count] + _ranked(data, work, drawn[:count], count)
    learner.train(names, seed)
    if arm == "first":
        shutil.rmtree(work, ignore_errors=True)
        learner.export(work / "store")
    return {"images": len(names), "miou": round(learner.score(), 4)}


def _ranked(data: Data, work: Path, labeled: list[str], count: int) -> list[str]:
    """The images that the model of the first ones would have labeled next."""
    for folder, names in (("labeled", labeled), ("pool", set(data.train) - set(labeled))):
        shutil.rmtree(work / folder, ignore_errors=True)
        (work / folder).mkdir(parents=True)
        for name in names:
            (work / folder / name).symlink_to(data.folder / "images" / "train" / name)
    ranking = work / "ranking.csv"
    subprocess.run(
        [
            *(sys.executable, "-m", "service.cli", "rank", str(work / "pool"), "-m", data.name),
            *("-o", str(ranking), "--count", str(count), "--labeled", str(work / "labeled")),
            *("--model-store", str(work / "store")),
        ],
        env=os.environ | {"SEGSERVE_THREADS": "1"},
        check=True,
    )
    with ranking.open() as file:
        return [row["image"] for row in csv.DictReader(file)][:count]


if __name__ == "__main__":
    main()
