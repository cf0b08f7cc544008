"""Question: which decoder, head or loss is worth its milliseconds, over MobileNetV2 in int8?

    .venv/bin/python -m benchmarks.decoders --data CAMVID --weights MOBILENET_V2_WEIGHTS
    .venv/bin/python -m benchmarks.networks_report            # the table of docs/networks.md

Each has one thing other than `street`'s network or loss, starts from the same ImageNet weights, is
trained alike on CamVid for a small budget with two seeds, and is scored on val, in 25 minutes or
so; then all are quantised to int8 and timed in turn on one 480×384 image, one thread. What is kept
is not trained again.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from benchmarks.int8_time import int8_milliseconds
from benchmarks.networks import (
    Budget,
    Street,
    read_results,
    train_and_score,
    train_missing,
    write,
)
from models.architectures.blocks import CropLike, MirrorPad, conv_block, double_conv_block
from models.architectures.encoders import STRIDE, decoder_filters, encode
from models.architectures.network import Features
from models.architectures.table import Encoder
from models.architectures.unet_mobile import separable_block
from models.architectures.upsampling import UPSAMPLINGS, Resize
from models.data.reading import read_dataset
from models.training.options import LossOptions, LossTerm

RESULTS = Path(__file__).parent / "results" / "decoders.json"
BUDGET = Budget(steps=240, batch_size=6, crop=(224, 224), learning_rate=1e-3)
SEEDS = (1, 2)
CLASSES = 11
BASE = "as `street`"

Block = Callable[[keras.KerasTensor, int, str], keras.KerasTensor]
Gate = Callable[[keras.KerasTensor, keras.KerasTensor, str], keras.KerasTensor]
Context = Callable[[keras.KerasTensor], keras.KerasTensor]


@dataclass(frozen=True)
class Variant:
    """`street`'s network and loss, with one thing changed."""

    block: Block = double_conv_block
    context: Context = lambda x: x
    gate: Gate = lambda skip, x, name: skip  # noqa: ARG005
    finest: int = 2  # the stride of the decoder's last stage
    width: int = 64  # of the decoder
    terms: tuple[LossTerm, ...] = ()  # beside cross-entropy


# ---- what is changed


def two_separable(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return separable_block(separable_block(x, filters, f"{name}_1"), filters, f"{name}_2")


def one_convolution(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return conv_block(x, filters, name)


def pyramid_pooling(x: keras.KerasTensor) -> keras.KerasTensor:
    """Means over 3, 5 and 9 cells beside the features (after Zhao et al. 2017, "PSPNet", with means
    that reach a finite way, so that tiles stay exact)."""
    means = [
        _pointwise(
            keras.layers.AveragePooling2D(size, 1, padding="same", name=f"mean{size}")(x),
            64,
            f"mean{size}_project",
        )
        for size in (3, 5, 9)
    ]
    return _pointwise(keras.layers.Concatenate(name="means")([x, *means]), 256, "context")


def dilated(x: keras.KerasTensor) -> keras.KerasTensor:
    """Separable convolutions of dilation 1, 2 and 4 side by side (Chen et al. 2018, "DeepLabv3+",
    without the global mean)."""
    rates = [separable_block(x, 96, f"rate{rate}", dilation=rate) for rate in (1, 2, 4)]
    return _pointwise(keras.layers.Concatenate(name="rates")(rates), 256, "context")


def attention(skip: keras.KerasTensor, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """The skip weighed by what skip and decoder say of each place (Oktay et al. 2018, "Attention
    U-Net", equation 1, at the skip's resolution)."""
    inner = max(skip.shape[-1] // 2, 8)
    both = keras.layers.Add(name=f"{name}_both")(
        [
            keras.layers.Conv2D(inner, 1, name=f"{name}_{part}")(tensor)
            for part, tensor in (("skip", skip), ("gate", x))
        ]
    )
    weight = keras.layers.Conv2D(1, 1, activation="sigmoid", name=f"{name}_weight")(
        keras.layers.ReLU(name=f"{name}_relu")(both)
    )
    return keras.layers.Multiply(name=f"{name}_weighed")([skip, weight])


def _pointwise(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return keras.layers.Conv2D(filters, 1, activation="relu", name=name)(x)


VARIANTS = {
    BASE: Variant(),
    "separable convolutions": Variant(block=two_separable),
    "one convolution a stage": Variant(block=one_convolution),
    "sub-pixel logits from stride 4": Variant(finest=4),
    "means over 3, 5, 9 cells": Variant(context=pyramid_pooling),
    "dilated convolutions": Variant(context=dilated),
    "attention gates": Variant(gate=attention),
    "dice in the loss": Variant(terms=(LossTerm(name="dice", weight=0.5),)),
    "Lovász in the loss": Variant(terms=(LossTerm(name="lovasz_softmax", weight=0.5),)),
    "outlines in the loss": Variant(terms=(LossTerm(name="boundary_f1", weight=0.5),)),
}


# ---- the network


def build(variant: Variant, weights: str | None) -> keras.Model:
    """Map pixel values 0–255 (N, H, W, 3) to logits (N, H, W, 11)."""
    return street_network("mobilenet_v2", weights, variant=variant)


def street_network(
    encoder: Encoder,
    weights: str | None,
    taken: Callable[[Features], Features] = lambda features: features,
    variant: Variant | None = None,
) -> keras.Model:
    """`street`'s network over an encoder, its decoder given what is `taken` of the features."""
    image = keras.Input((None, None, 3), name="image")
    features = encode(MirrorPad(STRIDE, name="mirror_pad")(image), encoder, weights)
    x = _decoder(taken(features), variant or Variant())
    while x.shape[-1] > CLASSES:
        x = _SubPixels(name="sub_pixels")(x)
    x = Resize(2, "bilinear", dtype="float32", name="to_full_resolution")(x)
    return keras.Model(image, CropLike(dtype="float32", name="crop")((x, image)))


def _decoder(features: Features, variant: Variant) -> keras.KerasTensor:
    x = keras.layers.Dropout(0.2, name="dropout")(variant.context(features[STRIDE]))
    for stride, filters in decoder_filters(variant.width).items():
        if stride < variant.finest:
            break
        x = UPSAMPLINGS["bilinear"](x, filters, 2, f"up{stride}", None)
        skip = variant.gate(features[stride], x, f"gate{stride}")
        x = keras.layers.Concatenate(name=f"up{stride}_skip")([skip, x])
        x = variant.block(x, filters, f"up{stride}")
    outputs = CLASSES * (variant.finest // 2) ** 2
    return keras.layers.Conv2D(outputs, 1, dtype="float32", name="logits")(x)


class _SubPixels(keras.layers.Layer):  # type: ignore[misc]
    """Four values of a place become its four sub-pixels (Shi et al. 2016, "sub-pixel
    convolution")."""

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        import tensorflow as tf

        return tf.nn.depth_to_space(x, 2)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, channels = shape
        assert channels is not None
        return batch, height and 2 * height, width and 2 * width, channels // 4


# ---- the experiment


def main() -> None:
    """Train what the results do not have yet, then time all in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True, help="ImageNet weights of MobileNetV2")
    parser.add_argument("--time-only", action="store_true", help="train nothing")
    parsed = parser.parse_args()
    kept = read_results(RESULTS, BUDGET)
    if not parsed.time_only:
        street = Street(read_dataset(parsed.data))

        def train(name: str, budget: Budget) -> dict[str, float]:
            variant = VARIANTS[name]
            return train_and_score(
                lambda: build(variant, parsed.weights),
                street,
                budget,
                f"{name}, seed {budget.seed}",
                LossOptions(terms=(LossTerm(name="cross_entropy"), *variant.terms)),
            )

        budgets = [replace(BUDGET, seed=seed) for seed in SEEDS]
        train_missing(RESULTS, kept, VARIANTS, budgets, train)
    times = int8_milliseconds({name: build(v, None) for name, v in VARIANTS.items()})
    for name, values in times.items():
        ratios = [own / base for own, base in zip(values, times[BASE], strict=True)]
        kept["networks"].setdefault(name, {})["int8_time"] = statistics.median(ratios)
    kept["base_milliseconds"] = statistics.median(times[BASE])
    write(RESULTS, kept)


if __name__ == "__main__":
    main()
