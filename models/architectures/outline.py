"""The facts of a network and the structure of its stages, computed from the built network; no
weight is made for it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import keras

from models.architectures.blocks import CropLike
from models.architectures.networks import build_without_weights
from models.architectures.options import NetworkOptions
from models.architectures.receptive_field import receptive_fields, steps
from models.architectures.table import NETWORKS
from models.architectures.upsampling import MaxUnpool, Resize, Unpool

Place: TypeAlias = tuple[int, int]  # stride, steps up


@dataclass(frozen=True)
class NetworkFacts:
    """One network as it is built by default. The radius is in pixels, None with global context."""

    name: str
    paper: str
    parameters: int
    stride: int
    receptive_field_radius: int | None
    encoders: tuple[str, ...]
    upsamplings: tuple[str, ...]


@dataclass
class Stage:
    """The layers between two changes of resolution: at `stride`, after `ups` steps up."""

    stride: int
    ups: int
    layers: list[keras.layers.Layer] = field(default_factory=list)

    def convolutions(self) -> list[str]:
        """Its convolutions in words, in the order they run; equal ones in a row are counted."""
        names = [name for name in map(_convolution_name, self.layers) if name]
        runs: list[tuple[str, int]] = []
        for name in names:
            if runs and runs[-1][0] == name:
                runs[-1] = (name, runs[-1][1] + 1)
            else:
                runs.append((name, 1))
        if len(runs) <= MOST_LINES:
            return [f"{count} × {name}" if count > 1 else name for name, count in runs]
        kinds = Counter(name.rpartition(", ")[0] for name in names)
        return [f"{count} × {kind}" for kind, count in kinds.most_common()]


@dataclass(frozen=True)
class Link:
    """Features that go from one stage to another: `kind` is down, up, skip or indices; `label` says
    by which layer."""

    start: Place
    end: Place
    kind: str
    label: str


MOST_LINES = 4


def describe(options: NetworkOptions, classes: int, channels: int) -> NetworkFacts:
    """The facts of a network with these options."""
    network = build_without_weights(classes, channels, options)
    entry = NETWORKS[options.name]
    return NetworkFacts(
        name=options.name,
        paper=entry.paper,
        parameters=network.parameters,
        stride=network.stride,
        receptive_field_radius=network.receptive_field_radius,
        encoders=entry.encoders,
        upsamplings=entry.upsamplings,
    )


def stages(network: keras.Model) -> tuple[list[Stage], list[Link]]:
    """The stages of a functional network in the order they run, and what goes between them."""
    fields = receptive_fields(network)
    found: dict[Place, Stage] = {}
    links: dict[tuple[Place, Place, str], Link] = {}
    place_of: dict[int, Place] = {}
    for layer, inputs, outputs in steps(network):
        before = [place_of[id(tensor)] for tensor in inputs]
        stride = int(fields[id(outputs[0])].step)
        ups = max((ups for _, ups in before), default=0)
        if before and stride < min(stride for stride, _ in before):
            ups += 1
        place = (stride, ups)
        found.setdefault(place, Stage(*place)).layers.append(layer)
        place_of.update({id(tensor): place for tensor in outputs})
        for link in _links(layer, inputs, before, place):
            links.setdefault((link.start, link.end, link.kind), link)
    return list(found.values()), list(links.values())


def _links(
    layer: keras.layers.Layer,
    inputs: list[keras.KerasTensor],
    before: list[Place],
    place: Place,
) -> Iterator[Link]:
    """What comes into a layer at `place` from other stages."""
    if isinstance(layer, CropLike):  # it needs the image for its size alone
        inputs, before = inputs[:1], before[:1]
    for number, (tensor, start) in enumerate(zip(inputs, before, strict=True)):
        if isinstance(layer, MaxUnpool) and number == 1:
            # Said from before the pooling, at whose resolution they say where.
            yield Link((place[0], start[1]), place, "indices", "places of the maxima")
        elif start != place:
            yield _link(layer, tensor, start, place)


def _link(
    layer: keras.layers.Layer,
    tensor: keras.KerasTensor,
    start: Place,
    end: Place,
) -> Link:
    if start[0] == end[0]:
        what = {"Concatenate": "concatenate", "Add": "add", "Multiply": "multiply"}
        verb = what.get(type(layer).__name__, type(layer).__name__)
        return Link(start, end, "skip", f"{verb} {tensor.shape[-1]}")
    if start[0] < end[0]:
        pools = "Pool" in type(layer).__name__
        return Link(start, end, "down", "max pool" if pools else "stride 2")
    return Link(start, end, "up", _upsampling_label(layer, start[0] // end[0]))


def _upsampling_label(layer: keras.layers.Layer, factor: int) -> str:
    if isinstance(layer, Resize):
        return f"{layer.interpolation} ×{factor}"
    if isinstance(layer, MaxUnpool):
        return "max unpool"
    if isinstance(layer, Unpool):
        return "nearest unpool" if layer.repeat else "bed of nails"
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return f"transposed ×{factor}"
    return f"{type(layer).__name__} ×{factor}"


def _convolution_name(layer: keras.layers.Layer) -> str | None:
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return None  # it is the link
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return f"depthwise {layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.output.shape[-1]}"
    if isinstance(layer, keras.layers.Conv2D):
        return f"{layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.filters}"
    return None
