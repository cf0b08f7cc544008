"""Question: why does EfficientNet-Lite0 learn less than MobileNetV2, and what does it cost in int8?

    .venv/bin/python -m benchmarks.encoders --data CAMVID --mobilenet FILE --lite0 FILE
    .venv/bin/python -m benchmarks.networks_report            # the table of docs/networks.md

Both under `street`'s decoder, from ImageNet weights, trained alike on CamVid for a small budget
with two seeds, and scored on val; then again with one thing changed: how fast the encoder learns,
whose statistics its BatchNorm takes, where its features are taken. The graphs are quantised to int8
and timed in turn on one 480×384 image, one thread. What is kept is not trained again.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import tensorflow as tf

from benchmarks.decoders import street_network
from benchmarks.int8_time import int8_milliseconds
from benchmarks.networks import (
    Budget,
    Street,
    read_results,
    train_and_score,
    train_missing,
    write,
)
from models.architectures.encoders import normalised
from models.architectures.network import Features
from models.architectures.table import Encoder
from models.data.reading import read_dataset

RESULTS = Path(__file__).parent / "results" / "encoders.json"
BUDGET = Budget(steps=240, batch_size=6, crop=(192, 192), learning_rate=1e-3)
SEEDS = (1, 2)
BASE = "`mobilenet_v2`"


@dataclass(frozen=True)
class Variant:
    """An encoder, and what is changed of it."""

    encoder: Encoder
    rate: float = 1.0  # of the encoder, by the decoder's
    held: bool = False  # its BatchNorm keeps the statistics, gamma and beta of ImageNet
    taken: Callable[[Features], Features] = lambda features: features


# ---- what is changed


def wide(features: Features) -> Features:
    """Lite0's features where the next stage has expanded them to six times the channels, as
    SSDLite takes MobileNetV2's (Sandler et al. 2018, section 6.2)."""
    trunk = keras.Model(_image_of(features), list(features.values()))
    ends = {2: 1, 4: 3, 8: 5, 16: 11}
    found = {
        stride: trunk.get_layer(f"block{block}_expand_relu").output
        for stride, block in ends.items()
    }
    return {**features, **found}


def _image_of(features: Features) -> keras.KerasTensor:
    return keras.utils.get_source_inputs(features[min(features)])[0]


VARIANTS = {
    BASE: Variant("mobilenet_v2"),
    f"{BASE}, encoder at a tenth of the rate": Variant("mobilenet_v2", rate=0.1),
    f"{BASE}, BatchNorm held": Variant("mobilenet_v2", held=True),
    f"{BASE}, features normalised": Variant("mobilenet_v2", taken=normalised),
    f"{BASE}, features normalised, encoder at a tenth": Variant(
        "mobilenet_v2", rate=0.1, taken=normalised
    ),
    "`efficientnet_lite0`": Variant("efficientnet_lite0"),
    "`efficientnet_lite0`, encoder at a tenth of the rate": Variant("efficientnet_lite0", rate=0.1),
    "`efficientnet_lite0`, BatchNorm held": Variant("efficientnet_lite0", held=True),
    "`efficientnet_lite0`, wide features": Variant("efficientnet_lite0", taken=wide),
    "`efficientnet_lite0`, features normalised": Variant("efficientnet_lite0", taken=normalised),
}


# ---- the network and its rate


def build(variant: Variant, weights: str | None) -> keras.Model:
    """Map pixel values 0–255 (N, H, W, 3) to logits (N, H, W, 11)."""
    model = street_network(variant.encoder, weights, variant.taken)
    if variant.held:
        for layer in _encoder(model):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    return model


def _encoder(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers between the picture and the decoder."""
    layers: list[keras.layers.Layer] = model.layers
    return layers[: [layer.name for layer in layers].index("dropout")]


class SlowEncoder(keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW, with a share of the rate for the named variables."""

    def __init__(self, names: set[str], share: float, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self._names = names
        self._share = share

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        share = self._share if variable.name in self._names else 1.0
        super().update_step(gradient, variable, learning_rate * share)


def optimizer(
    variant: Variant, model: keras.Model, rate: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """As `train_and_score` wants one."""
    names = {weight.value.name for layer in _encoder(model) for weight in layer.trainable_weights}
    return SlowEncoder(names, variant.rate, rate, weight_decay=1e-4)


# ---- the experiment


def main() -> None:
    """Train what the results do not have yet, then time all in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--mobilenet", required=True, help="weights of MobileNetV2")
    parser.add_argument("--lite0", required=True, help="weights of EfficientNet-Lite0")
    parser.add_argument("--time-only", action="store_true", help="train nothing")
    parsed = parser.parse_args()
    weights = {"mobilenet_v2": parsed.mobilenet, "efficientnet_lite0": parsed.lite0}
    kept = read_results(RESULTS, BUDGET)
    if not parsed.time_only:
        street = Street(read_dataset(parsed.data))

        def train(name: str, budget: Budget) -> dict[str, float]:
            variant = VARIANTS[name]
            return train_and_score(
                lambda: build(variant, weights[variant.encoder]),
                street,
                budget,
                f"{name}, seed {budget.seed}",
                optimizer=lambda model, rate: optimizer(variant, model, rate),
            )

        budgets = [replace(BUDGET, seed=seed) for seed in SEEDS]
        train_missing(RESULTS, kept, VARIANTS, budgets, train)
    kept["networks"] = {name: kept["networks"][name] for name in VARIANTS}
    graphs = {(v.encoder, v.taken): name for name, v in reversed(VARIANTS.items())}
    times = int8_milliseconds({name: build(VARIANTS[name], None) for name in graphs.values()})
    for name, variant in VARIANTS.items():
        own = times[graphs[variant.encoder, variant.taken]]
        ratios = [one / base for one, base in zip(own, times[BASE], strict=True)]
        kept["networks"][name]["int8_time"] = statistics.median(ratios)
    kept["base_milliseconds"] = statistics.median(times[BASE])
    write(RESULTS, kept)


if __name__ == "__main__":
    main()
