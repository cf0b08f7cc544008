"""Which range of pixel values a Keras model takes, by the layers that its input goes through first.

Only layers on the way from the input count, and only while nothing but rescaling has happened: a
Rescaling behind a convolution is part of what was learned.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from models.export.adopt_options import AdoptionError, AdoptOptions

Range: TypeAlias = Literal["0..255", "0..1", "-1..1"]

# What is brought near these is what networks learn from; a smaller spread is none.
_FARTHEST, _LEAST_SPREAD = 6.0, 0.9
_MEANS_OF_PIXELS = (-160.0, -60.0)  # where the mean alone is taken off, as Caffe's models do
_RANGES: dict[Range, tuple[float, float]] = {
    "0..255": (0.0, 255.0),
    "0..1": (0.0, 1.0),
    "-1..1": (-1.0, 1.0),
}
# Layers that change no value of a picture, or none beside its border.
_NEUTRAL = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.Resizing,
    keras.layers.CenterCrop,
    keras.layers.ZeroPadding2D,
    keras.layers.Permute,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianNoise,
    keras.layers.RandomBrightness,
    keras.layers.RandomContrast,
    keras.layers.RandomCrop,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
)
_NEUTRAL_OPERATIONS = ("GetItem", "Cast")
_JOINING = ("Stack", "Concatenate")  # channels that were taken apart, as for BGR


@dataclass(frozen=True)
class Affine:
    """values × scale + offset, each of one value or one a channel."""

    scale: NDArray[np.float64] = field(default_factory=lambda: np.ones(1))
    offset: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))

    def then(self, scale: Any, offset: Any) -> "Affine | None":
        """This, and another one behind it; None where they are of other channels."""
        by, plus = (np.ravel(np.asarray(value, np.float64)) for value in (scale, offset))
        try:
            return Affine(self.scale * by, self.offset * by + plus)
        except ValueError:
            return None

    @property
    def is_identity(self) -> bool:
        return bool((self.scale == 1).all() and (self.offset == 0).all())

    def same_as(self, other: "Affine") -> bool:
        try:
            return np.allclose(self.scale, other.scale) and np.allclose(self.offset, other.offset)
        except ValueError:  # of other channels
            return False

    def image_of(self, low: float, high: float) -> tuple[float, float]:
        """The least and the most that values from `low` to `high` become."""
        ends = np.concatenate(
            np.broadcast_arrays(low * self.scale + self.offset, high * self.scale + self.offset)
        )
        return float(ends.min()), float(ends.max())


def input_range(model: keras.Model) -> Range | None:
    """The range of values that a model takes, where its first layers rescale them; None where they
    do not, or not all in one way."""
    trace = _Trace()
    trace.follow(model, Affine())
    first, *others = trace.ends or [None]
    if first is None or not all(end is not None and first.same_as(end) for end in others):
        return None
    return None if first.is_identity else _range_of(first)


def takes_pixel_values(model: keras.Model, options: AdoptOptions) -> bool:
    """Whether a model rescales pixel values 0–255 itself. Raises AdoptionError where that is not
    what `options` say: what it takes would be rescaled twice, or not at all."""
    taken = input_range(model)
    if taken is None:
        return False
    said = options.scaling
    if said is None and taken != "0..255":
        raise AdoptionError(
            f"the model's first layers rescale values from {taken}, so that pixel values are to be "
            f"brought to that first: say --scaling {taken}"
        )
    if said not in (None, "none" if taken == "0..255" else taken):
        mend = "leave it out" if taken == "0..255" else f"say --scaling {taken}"
        raise AdoptionError(
            f"the model's first layers rescale values from {taken} themselves, and --scaling "
            f"{said} gives them others, as if they did not; {mend}"
        )
    if taken == "0..255" and options.std is not None and max(options.std) < 1:
        raise AdoptionError(
            "the model's first layers rescale pixel values 0..255 themselves, and --std "
            f"{' '.join(map(str, options.std))} is for values from 0 to 1; leave --mean and --std "
            "out, or say them for 0..255"
        )
    return taken == "0..255"


def _range_of(affine: Affine) -> Range | None:
    for name, (low, high) in _RANGES.items():
        least, most = affine.image_of(low, high)
        is_near = max(-least, most) <= _FARTHEST and most - least >= _LEAST_SPREAD
        if is_near and (low >= 0 or least >= 0):  # -1..1 is brought to 0..1 or left as it is
            return name
    takes_off_a_mean = (affine.scale == 1).all() and (
        (affine.offset > _MEANS_OF_PIXELS[0]) & (affine.offset < _MEANS_OF_PIXELS[1])
    ).all()
    return "0..255" if takes_off_a_mean else None


@dataclass
class _Trace:
    """Follows the input through a model. `ends` are what it has become where something else than
    rescaling begins, None where that is not known."""

    ends: list[Affine | None] = field(default_factory=list)

    def follow(self, model: Any, start: Affine | None) -> Affine | None:
        """Follow values into a model, nested ones too; what its output is, where that is still
        known."""
        config = model.get_config()
        if "input_layers" not in config:  # a Sequential
            value: Affine | None = start
            for layer in model.layers:
                value = self._through(layer, [], value) if value is not None else None
            return value
        values: dict[str, Affine | None] = dict.fromkeys(_names(config["input_layers"]), start)
        for entry in config["layers"]:
            sources = list(_sources(entry["inbound_nodes"]))
            known = [value for name in sources if (value := values.get(name)) is not None]
            if not known:
                continue
            is_joined = entry["class_name"] in _JOINING and len(known) == len(sources)
            if is_joined and all(known[0].same_as(other) for other in known):
                values[entry["name"]] = known[0]
                continue
            if len(sources) > 1 or len(entry["inbound_nodes"]) > 1:
                self.ends += known
                continue
            layer = _layer(model, entry["name"])
            arguments = entry["inbound_nodes"][0]["args"]
            values[entry["name"]] = self._through(layer, arguments, known[0], entry["class_name"])
        outputs = _names(config["output_layers"])
        return values.get(outputs[0]) if len(outputs) == 1 else None

    def _through(
        self, layer: Any, arguments: Sequence[Any], value: Affine, operation: str = ""
    ) -> Affine | None:
        """What values become in one layer; None, and an end, where that is no rescaling."""
        if isinstance(layer, keras.layers.Rescaling):
            changed = value.then(layer.scale, layer.offset)
        elif isinstance(layer, keras.layers.Normalization):
            changed = _normalized(layer, value)
        elif isinstance(layer, _NEUTRAL):
            return value
        elif isinstance(layer, keras.Model):
            return self.follow(layer, value)
        else:
            changed = _by_operation(operation, arguments, value) if layer is None else None
        if changed is None:
            is_known = layer is not None and not isinstance(layer, keras.layers.Lambda)
            self.ends.append(value if is_known else None)
        return changed


def _normalized(layer: keras.layers.Normalization, value: Affine) -> Affine | None:
    mean, variance = np.asarray(layer.mean), np.asarray(layer.variance)
    deviation = np.sqrt(np.maximum(variance, 1e-14))
    return None if layer.invert else value.then(1 / deviation, -mean / deviation)


def _by_operation(name: str, arguments: Sequence[Any], value: Affine) -> Affine | None:
    """What an operation with a number makes of values, as `x / 127.5 - 1` has them."""
    if name in _NEUTRAL_OPERATIONS:
        return value
    numbers = [_number(argument) for argument in arguments]
    if len(numbers) != 2 or (numbers[0] is None) == (numbers[1] is None):
        return None
    is_first = numbers[0] is not None
    number = numbers[0] if numbers[0] is not None else numbers[1]
    assert number is not None
    if name in ("TrueDivide", "Divide") and not is_first and number.all():
        return value.then(1 / number, 0)
    if name == "Multiply":
        return value.then(number, 0)
    if name == "Add":
        return value.then(1, number)
    if name == "Subtract":
        return value.then(-1, number) if is_first else value.then(1, -number)
    return None


def _number(argument: Any) -> NDArray[np.float64] | None:
    """The number, or the constant of several, that an operation is called with."""
    if isinstance(argument, Mapping) and argument.get("class_name") == "__tensor__":
        argument = argument["config"]["value"]
    try:
        return np.asarray(argument, np.float64)
    except (TypeError, ValueError):
        return None


def _layer(model: Any, name: str) -> Any:
    """The layer of that name; None for an operation, which is none."""
    try:
        return model.get_layer(name)
    except ValueError:
        return None


def _names(layers: Any) -> list[str]:
    """The names in what a config has for its inputs or outputs: one [name, node, tensor], several,
    or a dict of them."""
    if isinstance(layers, Mapping):
        return [name for value in layers.values() for name in _names(value)]
    if layers and isinstance(layers[0], str):
        return [layers[0]]
    return [name for value in layers for name in _names(value)]


def _sources(node: Any) -> Iterator[str]:
    """The names of the layers whose outputs a layer is called on."""
    if isinstance(node, Mapping):
        if node.get("class_name") == "__keras_tensor__":
            yield node["config"]["keras_history"][0]
        else:
            for value in node.values():
                yield from _sources(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _sources(value)
