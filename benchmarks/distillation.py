"""Question: what does it bring `street`'s network to learn from a larger one beside the masks?

    .venv/bin/python -m benchmarks.distillation --data CAMVID --weights MOBILENET_V2_WEIGHTS
    .venv/bin/python -m benchmarks.networks_report            # the table of docs/networks.md

The teacher has a decoder twice as wide and four times the steps, and answers the mirror image too.
Its pupils have `street`'s network and see the same batches with and without it, two seeds; all have
normalised features and dice in the loss, start from ImageNet weights and are scored on CamVid's
val. What is kept is not trained again.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf

from benchmarks.decoders import BUDGET, SEEDS, Variant, street_network
from benchmarks.networks import Street, read_results, train_and_score, train_missing, write
from models.architectures.encoders import normalised
from models.data.reading import read_dataset
from models.training.distillation import Distillation, Teacher
from models.training.options import DistillationOptions, LossOptions, LossTerm

RESULTS = Path(__file__).parent / "results" / "distillation.json"
TEACHER = "teacher, decoder twice as wide, four times the steps"
ALONE = "pupil, by the masks alone"
TAUGHT = "pupil, by the masks and the teacher"
LOSS = LossOptions(
    terms=(LossTerm(name="cross_entropy"), LossTerm(name="dice", weight=0.5)),
)


class Pupil(keras.Model):  # type: ignore[misc]
    """A network that is also charged for what it answers otherwise than its teacher."""

    distillation: Distillation

    def compute_loss(
        self,
        x: tf.Tensor = None,
        y: tf.Tensor = None,
        y_pred: tf.Tensor = None,
        sample_weight: tf.Tensor = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The loss of the masks and that of the teacher's answers."""
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        return own + self.distillation(x, y_pred)


def pupil(weights: str, distillation: Distillation) -> Pupil:
    """`street`'s network with normalised features, to be taught."""
    network = alone(weights)
    taught = Pupil(network.input, network.output)
    taught.distillation = distillation
    return taught


def alone(weights: str) -> keras.Model:
    """`street`'s network with normalised features."""
    return street_network("mobilenet_v2", weights, normalised)


def wide(weights: str | None) -> keras.Model:
    """The same with twice the filters in its decoder."""
    return street_network("mobilenet_v2", weights, normalised, Variant(width=128))


def main() -> None:
    """Train what the results do not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True, help="ImageNet weights of MobileNetV2")
    parser.add_argument(
        "--teacher",
        type=Path,
        default=Path(tempfile.gettempdir()) / "street_teacher.weights.h5",
        help="where the teacher is kept while its pupils are trained",
    )
    parsed = parser.parse_args()
    kept = read_results(RESULTS, BUDGET)
    street = Street(read_dataset(parsed.data))

    def fit(name: str, build: Callable[[], keras.Model], steps: int, seed: int) -> dict[str, float]:
        budget = replace(BUDGET, steps=steps, seed=seed)
        keep = parsed.teacher if name == TEACHER else None
        return train_and_score(build, street, budget, f"{name}, seed {seed}", LOSS, keep=keep)

    if TEACHER not in kept["networks"] or not parsed.teacher.exists():
        scores = fit(TEACHER, lambda: wide(parsed.weights), 4 * BUDGET.steps, BUDGET.seed)
        kept["networks"][TEACHER] = {f"seed {BUDGET.seed}": scores}
        write(RESULTS, kept)
    distillation = Distillation(DistillationOptions(flip=True), [teacher_of(parsed.teacher)])
    builds = {
        ALONE: lambda: alone(parsed.weights),
        TAUGHT: lambda: pupil(parsed.weights, distillation),
    }
    train_missing(
        RESULTS,
        kept,
        builds,
        [replace(BUDGET, seed=seed) for seed in SEEDS],
        lambda name, budget: fit(name, builds[name], budget.steps, budget.seed),
    )


def teacher_of(path: Path) -> Teacher:
    """What the network whose weights these are answers, as probabilities."""
    network = wide(None)
    network.load_weights(path)
    return lambda images: tf.nn.softmax(network(images, training=False))


if __name__ == "__main__":
    main()
