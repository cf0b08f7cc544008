"""Models whose first layers rescale values in one way or another, and what of that counts."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.keras_scaling import Range, input_range, takes_pixel_values

layers = keras.layers
Build = Callable[[keras.KerasTensor], keras.KerasTensor]
MEAN, VARIANCE = [0.485, 0.456, 0.406], [0.229**2, 0.224**2, 0.225**2]


def model_of(build: Build) -> keras.Model:
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, build(inputs))


def learned(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Conv2D(2, 1)(x)


def nested(build: Build, depth: int = 1) -> Build:
    """What `build` makes, as a model within a model, `depth` times."""

    def call(x: keras.KerasTensor) -> keras.KerasTensor:
        inner = model_of(build if depth == 1 else nested(build, depth - 1))
        return inner(x)

    return call


def adapted(x: keras.KerasTensor) -> keras.KerasTensor:
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.float32))
    return learned(layer(x))


def in_two_ways(x: keras.KerasTensor) -> keras.KerasTensor:
    return learned(layers.Concatenate()([x, layers.Rescaling(1 / 255)(x)]))


def with_a_skip(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Rescaling(1 / 255)(x)
    return layers.Concatenate()([learned(x), x])


def augmented(x: keras.KerasTensor) -> keras.KerasTensor:
    steps = [layers.RandomFlip(), layers.Resizing(32, 32), layers.Rescaling(1 / 127.5, -1.0)]
    return learned(keras.Sequential(steps)(x))


CASES: dict[str, tuple[Build, Range | None]] = {
    "nothing": (learned, None),
    "0..1": (lambda x: learned(layers.Rescaling(1 / 255)(x)), "0..255"),
    "-1..1": (lambda x: learned(layers.Rescaling(1 / 127.5, -1.0)(x)), "0..255"),
    "in two layers": (
        lambda x: learned(layers.Rescaling(1.0, -1.0)(layers.Rescaling(1 / 127.5)(x))),
        "0..255",
    ),
    "of 0..1": (lambda x: learned(layers.Rescaling(2.0, -1.0)(x)), "0..1"),
    "of -1..1": (lambda x: learned(layers.Rescaling(0.5, 0.5)(x)), "-1..1"),
    "a temperature": (lambda x: layers.Rescaling(1 / 255)(learned(x)), None),
    "a factor": (lambda x: learned(layers.Rescaling(0.5)(x)), None),
    "the values as they are": (lambda x: learned(layers.Rescaling(1.0)(x)), None),
    "a nested preprocessing": (
        lambda x: learned(nested(layers.Rescaling(1 / 255))(x)),
        "0..255",
    ),
    "a nested backbone": (
        lambda x: learned(nested(lambda y: learned(layers.Rescaling(1 / 255)(y)), 2)(x)),
        "0..255",
    ),
    "a sequence of augmentations": (augmented, "0..255"),
    "mean and variance of 0..1": (
        lambda x: learned(layers.Normalization(mean=MEAN, variance=VARIANCE)(x)),
        "0..1",
    ),
    "mean and variance behind a rescaling": (
        lambda x: learned(
            layers.Normalization(mean=MEAN, variance=VARIANCE)(layers.Rescaling(1 / 255)(x))
        ),
        "0..255",
    ),
    "mean and variance of data": (adapted, "0..255"),
    "operations": (lambda x: learned(x / 127.5 - 1.0), "0..255"),
    "Keras' own, as Torch's": (
        lambda x: learned(keras.applications.densenet.preprocess_input(x)),
        "0..255",
    ),
    "Keras' own, as Caffe's": (
        lambda x: learned(keras.applications.vgg16.preprocess_input(x)),
        "0..255",
    ),
    "a function": (lambda x: learned(layers.Lambda(lambda y: y / 255.0)(x)), None),
    "a learned scale": (lambda x: learned(layers.BatchNormalization()(x)), None),
    "two ways": (in_two_ways, None),
    "a skip": (with_a_skip, "0..255"),
}


@pytest.mark.parametrize("case", CASES)
def test_only_what_is_on_the_way_from_the_input_counts_by_its_value(case: str) -> None:
    build, expected = CASES[case]
    assert input_range(model_of(build)) == expected


@pytest.mark.parametrize(
    ("case", "options", "sentence"),
    [
        ("0..1", {"scaling": "0..1"}, r"from 0\.\.255 themselves, .* leave it out"),
        ("a nested backbone", {"scaling": "-1..1"}, r"from 0\.\.255 themselves"),
        ("Keras' own, as Caffe's", {"scaling": "0..1"}, r"from 0\.\.255 themselves"),
        ("0..1", {"mean": (0.4,), "std": (0.2,)}, "is for values from 0 to 1; leave"),
        ("of 0..1", {}, r"say --scaling 0\.\.1"),
        ("of 0..1", {"scaling": "none"}, r"gives them others, .* say --scaling 0\.\.1"),
        ("mean and variance of 0..1", {"scaling": "-1..1"}, r"say --scaling 0\.\.1"),
        ("of -1..1", {"scaling": "0..1"}, r"say --scaling -1\.\.1"),
    ],
)
def test_flags_that_rescale_twice_or_not_at_all_are_refused(
    case: str, options: dict[str, object], sentence: str
) -> None:
    model = model_of(CASES[case][0])
    with pytest.raises(AdoptionError, match=sentence):
        takes_pixel_values(model, AdoptOptions.model_validate(options))


@pytest.mark.parametrize(
    ("case", "options", "takes_pixels"),
    [
        ("0..1", {}, True),
        ("0..1", {"scaling": "none"}, True),
        ("0..1", {"mean": (120.0,), "std": (2.0,)}, True),
        ("of 0..1", {"scaling": "0..1"}, False),
        ("nothing", {"scaling": "-1..1"}, False),
        ("a temperature", {}, False),
    ],
)
def test_flags_that_fit_are_taken(
    case: str, options: dict[str, object], takes_pixels: bool
) -> None:
    model = model_of(CASES[case][0])
    assert takes_pixel_values(model, AdoptOptions.model_validate(options)) == takes_pixels
