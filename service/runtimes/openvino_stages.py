"""Cut a network in three, where its maps are small: `shallow` (picture → skip map at a quarter of
the stride), `deep` (that map → what the decoder makes of all that lies deeper, at half of the
stride) and `tail` (picture and both maps → logits).

Each sees less far than the network, so a large picture is computed in three passes of tiles with
margins of their own, and what sees farthest is computed on few pixels. The layers between picture
and skip maps of smaller strides run twice, in `shallow` and in `tail`: those maps are too large
to be kept.

One concatenation of a U-Net's decoder says where: the one at a quarter of the stride has the skip
map and the enlarged deep map as its inputs. Where the decoder normalises the skip map, the cut is
before that, for the encoder goes on from what it was. Quantized tensors are passed on as their
codes, and the next part quantizes again what they stand for. That changes nothing, and without it
OpenVINO would compute the layers behind in floating point.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops

from models.contract.graph_reach import UnknownReachError, reach_of_outputs
from service.runtimes.engine import FeatureMap, Stage, StageFacts
from service.runtimes.openvino_graph import LogitsModel

_PROBE_STRIDES = 16  # pixels of the probe's side; reach and steps are found at one size
_CODES = 256  # of a quantized value
_FROM_NHWC, _TO_NHWC = np.array([0, 3, 1, 2]), np.array([0, 2, 3, 1])
_LAYOUT = ("Transpose", "Convert")
_SCALING = ("Multiply", "Add", "Subtract")


# What each part takes: the picture, the shallow map, the deep one.
_TAKES: dict[Stage, tuple[int, ...]] = {"shallow": (0,), "deep": (1,), "tail": (0, 1, 2)}


@dataclass(frozen=True)
class StageModels:
    """Models of maps in (N, h, w, channels): of `shallow` picture → map, of `deep` map → map, of
    `tail` picture, shallow and deep map → logits (N, classes, H / factor, W / factor).
    """

    facts: StageFacts
    models: Mapping[Stage, openvino.Model]


class OpenVinoStages:
    """The network in stages, each compiled when it is first run."""

    def __init__(
        self,
        found: StageModels,
        classes: int,
        run: Callable[[openvino.Model, Sequence[NDArray[Any]], NDArray[Any], int], None],
    ) -> None:
        """`run` runs a model on inputs into a result, of so many pixels of pictures."""
        self.facts = found.facts
        self._models, self._classes, self._run = found.models, classes, run

    def run(self, stage: Stage, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """As `Stages.run` says."""
        facts = self.facts
        count, *sides, _ = inputs[0].shape
        own = facts.shallow.step if stage == "deep" else 1
        height, width = (side * own for side in sides)
        result: NDArray[Any]
        if stage == "tail":
            low = height // facts.factor, width // facts.factor
            result = np.empty((count, self._classes, *low), np.float32)
        else:
            given = facts.deep if stage == "deep" else facts.shallow
            shape = count, height // given.step, width // given.step, given.channels
            result = np.empty(shape, given.dtype)
        self._run(self._models[stage], inputs, result, count * height * width)
        return result


def cut_in_stages(logits: LogitsModel, stride: int) -> StageModels | None:
    """Its parts; None where it has no such concatenation, or a part of it sees all of a picture."""
    probe = logits.model.clone()
    channels = int(probe.input(0).get_partial_shape()[3].get_length())
    side = _PROBE_STRIDES * stride
    probe.reshape([1, side, side, channels])
    place = _place_of_concatenation(probe, 4 * _PROBE_STRIDES)
    if place is None:
        return None
    shallow, deep = _cut_tensors(probe, place)
    if not shallow.can_be_passed_on or not deep.can_be_passed_on:
        return None
    maps = shallow.as_map(side), deep.as_map(side)
    shapes = [(side, channels), *((side // one.step, one.channels) for one in maps)]
    steps = [1, *(one.step for one in maps)]
    models, radii = {}, {}
    try:
        for stage, places in _TAKES.items():
            models[stage] = _part(logits.model.clone(), place, stage)
            radii[stage] = _radius(
                models[stage], [shapes[one] for one in places], [steps[one] for one in places]
            )
    except (RuntimeError, UnknownReachError):  # a way around the cut, or an operator that sees all
        return None
    radii["tail"] += logits.factor  # what is interpolated of them
    return StageModels(StageFacts(*maps, radii, logits.factor), models)


def _place_of_concatenation(probe: openvino.Model, side: int) -> int | None:
    """The number among its nodes of the only one of maps (1, C, side, side), of a skip map and an
    enlarged one, in this order.
    """
    found = [
        place
        for place, node in enumerate(probe.get_ordered_ops())
        if node.get_type_name() == "Concat"
        and list(node.get_output_shape(0))[2:] == [side, side]
        and [_enlargement_in(node, one) is not None for one in range(node.get_input_size())]
        == [False, True]
    ]
    return found[0] if len(found) == 1 else None


def _enlargement_in(concatenation: Any, place: int) -> Any | None:
    """The last that one of its inputs went through."""
    node = _source(concatenation, place)
    while node.get_input_size() and node.get_type_name() != "Interpolate":
        node = _source(node, 0)
    return node if node.get_input_size() else None


def _given_to(node: Any) -> Any:
    """What gives the first input of a node, other layouts aside."""
    node = _source(node, 0)
    while node.get_type_name() in _LAYOUT:
        node = _source(node, 0)
    return node


def _cut_tensors(model: openvino.Model, place: int) -> tuple["_Tensor", "_Tensor"]:
    """The skip map, and the deep one before it is enlarged."""
    concatenation = list(model.get_ordered_ops())[place]
    enlargement = _enlargement_in(concatenation, 1)
    return _Tensor(_where_it_forks(_given_to(concatenation))), _Tensor(_given_to(enlargement))


def _where_it_forks(skip: Any) -> Any:
    """What the encoder goes on from: the skip map, before what the decoder alone does to each of
    its values (a normalisation, its quantization). The skip map itself where nothing forks."""
    node = skip
    while len(node.output(0).get_target_inputs()) == 1 and _is_of_each_value(node):
        node = _given_to(node)
    return node if len(node.output(0).get_target_inputs()) > 1 else skip


def _is_of_each_value(node: Any) -> bool:
    if node.get_type_name() == "FakeQuantize":
        return True
    return node.get_type_name() in _SCALING and _source(node, 1).get_type_name() == "Constant"


class _Tensor:
    """An output (N, C, h, w) of a node at which a graph is cut."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._range = _range(node)
        is_quantized = node.get_type_name() == "FakeQuantize"
        self.can_be_passed_on = not is_quantized or self._range is not None
        self._dtype = np.dtype(np.uint8 if is_quantized else np.float32)
        self._shape = node.get_output_partial_shape(0)

    def as_map(self, side: int) -> FeatureMap:
        """Of a picture (side, side)."""
        return FeatureMap(side // self._shape[2].get_length(), self._channels, self._dtype)

    @property
    def _channels(self) -> int:
        return int(self._shape[1].get_length())

    def given(self) -> Any:
        """Its values (N, h, w, C), or what stands for them in 8 bits, as the graph's output."""
        if self._range is None:
            return ops.transpose(self._node.output(0), ops.constant(_TO_NHWC))
        codes = ops.fake_quantize(
            self._node.input_value(0),
            self._node.input_value(1),
            self._node.input_value(2),
            ops.constant(np.float32(0)),
            ops.constant(np.float32(_CODES - 1)),
            _CODES,
        )
        return ops.convert(ops.transpose(codes, ops.constant(_TO_NHWC)), "u8")

    def taken(self) -> Any:
        """A parameter that the graph takes it from."""
        parameter = ops.parameter([-1, -1, -1, self._channels], self._dtype.type)
        values = ops.transpose(ops.convert(parameter, "f32"), ops.constant(_FROM_NHWC))
        if self._range is None:
            self._node.output(0).replace(values.output(0))
            return parameter
        low, high = self._range
        values = ops.multiply(values, ops.constant(np.float32((high - low) / (_CODES - 1))))
        values = ops.add(values, ops.constant(np.float32(low)))
        self._node.input(0).replace_source_output(values.output(0))
        return parameter


def _range(node: Any) -> tuple[float, float] | None:
    """Of what quantizes all values alike to themselves, in 8 bits; None of other nodes."""
    if node.get_type_name() != "FakeQuantize" or node.get_attributes()["levels"] != _CODES:
        return None
    limits = [_source(node, place) for place in range(1, 5)]
    if any(one.get_type_name() != "Constant" or one.data.size != 1 for one in limits):
        return None
    low, high, out_low, out_high = (float(one.data.reshape(-1)[0]) for one in limits)
    return (low, high) if (low, high) == (out_low, out_high) else None


def _part(copy: openvino.Model, place: int, stage: Stage) -> openvino.Model:
    """Raises RuntimeError where it takes more than it should."""
    shallow, deep = _cut_tensors(copy, place)
    images, logits = copy.get_parameters(), copy.output(0).get_node().input_value(0)
    if stage == "shallow":
        return openvino.Model([shallow.given()], images, stage)
    if stage == "deep":
        given = deep.given()
        return openvino.Model([given], [shallow.taken()], stage)
    return openvino.Model([logits], [*images, shallow.taken(), deep.taken()], stage)


def _radius(part: openvino.Model, shapes: list[tuple[int, int]], steps: list[int]) -> int:
    """How far a part sees, in pixels of the picture, by the sides and channels of what it takes,
    and by their steps. Raises UnknownReachError.
    """
    fixed = part.clone()
    names = [parameter.get_friendly_name() for parameter in fixed.get_parameters()]
    sizes = [[1, side, side, channels] for side, channels in shapes]
    fixed.reshape(dict(zip(fixed.inputs, map(openvino.PartialShape, sizes), strict=True)))
    starts = {name: (1, step) for name, step in zip(names, steps, strict=True)}
    (sees,) = reach_of_outputs(fixed, starts)
    if sees is None:
        raise UnknownReachError
    return math.ceil(max(max(side.before, side.behind) for side in sees))


def _source(node: Any, place: int) -> Any:
    return node.input_value(place).get_node()
