"""Question: how do the networks and upsamplings compare, trained alike on CamVid for a small fixed
budget?

    .venv/bin/python -m benchmarks.networks --data CAMVID     # about 40 minutes; resumes
    .venv/bin/python -m benchmarks.networks_report            # the tables of the pages

Every network starts at random with the same seed and sees the same crops in the same order; val
alone is scored. The pattern is SegNet's table 1 (Badrinarayanan, Kendall, Cipolla 2017). A result
is kept after each network, so the command may be stopped.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.architectures.networks import build_network
from models.architectures.table import NETWORKS, SCALED_BY_WIDTH, Upsampling
from models.contract import atomic
from models.data.dataset import Dataset
from models.data.reading import read_dataset
from models.training.boundary import BoundaryF1
from models.training.evaluation import network_predictor
from models.training.losses import SegmentationLoss, class_weights
from models.training.metrics import ConfusionMatrix
from models.training.options import LossOptions

RESULTS = Path(__file__).parent / "results" / "networks.json"
TIMING_ROUNDS = 7

MakeOptimizer = Callable[
    [keras.Model, keras.optimizers.schedules.LearningRateSchedule], keras.optimizers.Optimizer
]
Pixels = list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]


@dataclass(frozen=True)
class Budget:
    """What every network gets."""

    steps: int = 1000
    batch_size: int = 4
    crop: tuple[int, int] = (160, 160)
    width: int = 8
    learning_rate: float = 3e-3
    seed: int = 1


class Street:
    """CamVid in memory, and the crops that every network sees."""

    def __init__(self, dataset: Dataset) -> None:
        self.classes = len(dataset.class_list.classes)
        self.train = self._read(dataset, "train")
        self.val = self._read(dataset, "val")
        pixels = sum(np.bincount(mask.ravel(), minlength=256) for _, mask in self.train)
        self.class_weights = class_weights("inverse_log", np.asarray(pixels)[: self.classes])

    def _read(self, dataset: Dataset, split: str) -> Pixels:
        return [sample.read(3) for sample in dataset.split(split)]

    def batches(self, budget: Budget) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """Random crops, half of them mirrored; the same for every network."""
        draw = np.random.default_rng(budget.seed)
        for _ in range(budget.steps):
            crops = [self._crop(draw, budget.crop) for _ in range(budget.batch_size)]
            images, masks = zip(*crops, strict=True)
            yield np.stack(images).astype(np.float32), np.stack(masks)

    def _crop(
        self, draw: np.random.Generator, size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        image, mask = self.train[draw.integers(len(self.train))]
        top, left = (
            draw.integers(have - want + 1) for have, want in zip(mask.shape, size, strict=True)
        )
        window = np.s_[top : top + size[0], left : left + size[1]]
        direction = draw.choice((1, -1))
        return image[window][:, ::direction], mask[window][:, ::direction]


def train_and_score(
    build: Callable[[], keras.Model],
    street: Street,
    budget: Budget,
    title: str,
    options: LossOptions | None = None,
    optimizer: MakeOptimizer | None = None,
    keep: Path | None = None,
) -> dict[str, float]:
    """Train a network within the budget, by AdamW unless another `optimizer` is given, and score it
    on val, whole images. Its weights go into the file `keep`, where one is named."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(budget.seed)
    network = build()
    warmup_steps = budget.steps // 10
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        budget.steps - warmup_steps,
        warmup_target=budget.learning_rate,
        warmup_steps=warmup_steps,
    )
    loss = SegmentationLoss(options or LossOptions(), street.class_weights)
    network.compile(
        optimizer(network, rate) if optimizer else keras.optimizers.AdamW(rate, weight_decay=1e-4),
        lambda masks, logits: loss(masks, logits),
    )
    began = time.monotonic()
    losses = [
        float(network.train_on_batch(*batch))
        for batch in tqdm(street.batches(budget), desc=title, total=budget.steps, disable=None)
    ]
    seconds = time.monotonic() - began
    if keep:
        network.save_weights(keep)
    predict = network_predictor(network).class_maps
    confusion, boundary = ConfusionMatrix(street.classes), BoundaryF1(street.classes)
    for image, mask in tqdm(street.val, desc=f"{title}: val", leave=False, disable=None):
        class_map = predict(image[np.newaxis])[0]
        confusion.add(mask, class_map)
        boundary.add(mask, class_map)
    return {
        "val_mean_iou": confusion.scores().mean_iou,
        "val_boundary_f1": boundary.score(),
        "parameters": network.count_params(),
        "last_loss": statistics.mean(losses[-20:]),
        "training_seconds": seconds,
    }


def milliseconds_an_image(
    builders: dict[str, Callable[[], keras.Model]], size: tuple[int, int]
) -> dict[str, float]:
    """The median time of one image (H, W) through each network, all of them in turn in every
    round."""
    keras.backend.clear_session()
    predictions = {
        title: network_predictor(build()).class_maps for title, build in builders.items()
    }
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    times: dict[str, list[float]] = {title: [] for title in builders}
    for number in tqdm(range(TIMING_ROUNDS + 1), desc="time", disable=None):
        for title, predict in predictions.items():
            began = time.perf_counter()
            predict(image[np.newaxis])
            if number:  # the first call traces
                times[title].append(1000 * (time.perf_counter() - began))
    return {title: statistics.median(values) for title, values in times.items()}


def combinations() -> dict[str, tuple[str, Upsampling]]:
    """Every network × upsampling; nearest_unpool computes what nearest does (a test holds that), so
    it is left out."""
    return {
        f"{name} {upsampling}": (name, upsampling)
        for name, entry in NETWORKS.items()
        for upsampling in entry.upsamplings
        if upsampling != "nearest_unpool"
    }


def run(data: Path, budget: Budget, only: list[str], path: Path) -> None:
    """Train, score and time what the results at `path` do not have yet."""
    kept = read_results(path, budget)
    street = Street(read_dataset(data))

    def builder(title: str) -> Callable[[], keras.Model]:
        name, upsampling = combinations()[title]
        return lambda: (
            build_network(
                name,
                classes=street.classes,
                channels=3,
                width=budget.width if NETWORKS[name].encoders[0] in SCALED_BY_WIDTH else 64,
                upsampling=upsampling,
            ).model
        )

    for title in only or combinations():
        if title not in kept["networks"]:
            kept["networks"][title] = train_and_score(builder(title), street, budget, title)
            write(path, kept)
            tqdm.write(f"{title}: {kept['networks'][title]}")
    height, width = street.val[0][1].shape
    builders = {title: builder(title) for title in kept["networks"]}
    for title, value in milliseconds_an_image(builders, (height, width)).items():
        kept["networks"][title]["milliseconds"] = value
    write(path, kept)


def train_missing(
    path: Path,
    kept: dict[str, Any],
    names: Iterable[str],
    budgets: Sequence[Budget],
    train: Callable[[str, Budget], dict[str, float]],
) -> None:
    """Have `train` give each name's scores by each budget, a seed each, that `kept` has not yet,
    and write them to `path` one by one."""
    for budget, name in itertools.product(budgets, list(names)):
        row = kept["networks"].setdefault(name, {})
        if f"seed {budget.seed}" not in row:
            row[f"seed {budget.seed}"] = train(name, budget)
            write(path, kept)
            tqdm.write(f"{name}: {row[f'seed {budget.seed}']}")


def read_results(path: Path, budget: Budget) -> dict[str, Any]:
    """What is kept of this budget; of another one nothing."""
    fresh: dict[str, Any] = {
        "budget": {**asdict(budget), "crop": list(budget.crop)},
        "networks": {},
    }
    if not path.is_file():
        return fresh
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept if kept["budget"] == fresh["budget"] else fresh


def write(path: Path, results: dict[str, Any]) -> None:
    """Keep the results, whole or as they were."""
    atomic.write_text(path, json.dumps(results, indent=2) + "\n")


def main() -> None:
    """Run the comparison, or write its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="the CamVid folder")
    parser.add_argument("--results", type=Path, default=RESULTS, help="one file a budget")
    parser.add_argument("--only", nargs="*", default=[], help="titles such as 'unet bilinear'")
    for field, value in asdict(Budget()).items():
        if isinstance(value, int | float):
            parser.add_argument(f"--{field}", type=type(value), default=value)
    parsed = parser.parse_args()
    fields = {key: value for key, value in vars(parsed).items() if key in asdict(Budget())}
    run(parsed.data, Budget(**fields), parsed.only, parsed.results)


if __name__ == "__main__":
    main()
