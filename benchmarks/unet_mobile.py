"""Question: which published ideas make the MobileNetV2 U-Net better or faster on a CPU?

    .venv/bin/python -m benchmarks.unet_mobile --data CAMVID --weights MOBILENET_V2_WEIGHTS

Each idea is put into the network alone, trained alike on CamVid and scored on val, in about 8
minutes; what paid is in models/architectures/unet_mobile.py. The ideas that did not are kept here,
so that the answer can be checked.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
from tqdm import tqdm

from benchmarks.networks import (
    Budget,
    Street,
    milliseconds_an_image,
    read_results,
    train_and_score,
    write,
)
from models.architectures.backbones import mobilenet_v2_features
from models.architectures.blocks import CropLike, MirrorPad, conv_block, scaled_input
from models.architectures.unet_mobile import separable_block
from models.architectures.upsampling import Resize
from models.data.reading import read_dataset

RESULTS = Path(__file__).parent / "results" / "unet_mobile.json"
BUDGET = Budget(steps=100, batch_size=6, crop=(192, 192), learning_rate=1e-3)


@dataclass(frozen=True)
class Ideas:
    """What is put into the decoder."""

    separable: bool = False
    filters: tuple[tuple[int, int], ...] = ((16, 128), (8, 64), (4, 48), (2, 32))
    blocks: int = 2
    context_rates: tuple[int, ...] = ()
    attention: bool = False


BASE = Ideas()
SEPARABLE = Ideas(separable=True)
VARIANTS = {
    "unet mobilenet_v2": BASE,
    "separable": SEPARABLE,
    "separable, dilated context": replace(SEPARABLE, context_rates=(1, 2, 4)),
    "separable, attention gates": replace(SEPARABLE, attention=True),
    "separable, from stride 4": replace(SEPARABLE, filters=SEPARABLE.filters[:-1]),
}


def build(classes: int, ideas: Ideas, weights: str | None) -> keras.Model:
    """The network with these ideas in its decoder."""
    image = keras.Input((None, None, 3), name="image")
    features = mobilenet_v2_features(scaled_input(MirrorPad(32)(image), 3), weights)
    x = features[32]
    if ideas.context_rates:
        x = keras.layers.Concatenate()(
            [
                separable_block(x, 64, f"context{rate}", dilation=rate)
                for rate in ideas.context_rates
            ]
        )
    for stride, filters in ideas.filters:
        x = Resize(2, "bilinear")(x)
        x = keras.layers.Conv2D(filters, 1)(x) if x.shape[-1] != filters else x
        skip = _attended(features[stride], x) if ideas.attention else features[stride]
        x = keras.layers.Concatenate()([skip, x])
        for number in range(ideas.blocks):
            name = f"up{stride}_{number}"
            if ideas.separable:
                x = separable_block(x, filters, name)
            else:
                x = conv_block(x, filters, name)
    x = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    finest = min(stride for stride, _ in ideas.filters)
    return keras.Model(image, CropLike()((Resize(finest, "bilinear")(x), image)))


def _attended(skip: keras.KerasTensor, gate: keras.KerasTensor) -> keras.KerasTensor:
    """Weighs the skip's pixels by what the decoder knows already (Attention U-Net, Oktay et al.
    2018)."""
    hidden = max(skip.shape[-1] // 2, 8)
    both = keras.layers.Add()(
        [keras.layers.Conv2D(hidden, 1)(skip), keras.layers.Conv2D(hidden, 1)(gate)]
    )
    weight = keras.layers.Conv2D(1, 1, activation="sigmoid")(keras.layers.ReLU()(both))
    return keras.layers.Multiply()([skip, weight])


def main() -> None:
    """Train what the results do not have yet, then time all in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--weights", help="a weights file of MobileNetV2; without it, all is random"
    )
    parsed = parser.parse_args()
    kept = read_results(RESULTS, BUDGET)
    street = Street(read_dataset(parsed.data))

    def builder(title: str, weights: str | None) -> Callable[[], keras.Model]:
        return lambda: build(street.classes, VARIANTS[title], weights)

    for title in VARIANTS:
        if title not in kept["networks"]:
            scores = train_and_score(builder(title, parsed.weights), street, BUDGET, title)
            kept["networks"][title] = scores
            write(RESULTS, kept)
            tqdm.write(f"{title}: {scores}")
    height, width = street.val[0][1].shape
    builders = {title: builder(title, None) for title in VARIANTS}
    for title, value in milliseconds_an_image(builders, (height, width)).items():
        kept["networks"][title]["milliseconds"] = value
    write(RESULTS, kept)


if __name__ == "__main__":
    main()
