"""What protocols that speak of tensors can be asked for by name: the maps as arrays, and every
output as a file.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from models.contract import Contract
from models.contract.faults import first_fault
from service.domain.segmentation import Need, Segmentation
from service.outputs import OUTPUTS
from service.outputs.output import Output, OutputOptions, OverlapWriting
from service.protocols.problems import MalformedRequestError

Kind = Literal["UINT8", "FP32", "BYTES"]
TENSORS: Final[dict[Need, Kind]] = {
    "class_map": "UINT8",
    "probabilities": "FP32",
    "confidence": "UINT8",
}
DEFAULT: Final = "class_map"

_DTYPES: Final[dict[Kind, type[np.generic]]] = {"UINT8": np.uint8, "FP32": np.float32}
_PARTS_LENGTH: Final = 8
_SHARED: Final = tuple(OutputOptions.model_fields)
_FOR_PIXELS: Final = ("classes", "scale", "min_confidence")
_RAW: Final = {"application/octet-stream": ".bin"}


class _ClassMapOptions(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "top"


class _ConfidenceOptions(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "top"

    @property
    def format_need(self) -> Need:
        return "confidence"


class _ProbabilitiesOptions(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "each"

    @property
    def format_need(self) -> Need:
        return "probabilities"


@dataclass(frozen=True)
class Result:
    """A row of the table. `tensor` None is a file an image; `is_text` says that those are UTF-8."""

    name: str
    kind: Kind
    output: Output
    tensor: Need | None = None
    is_text: bool = False

    def array(self, body: bytes, height: int, width: int) -> NDArray[Any]:
        """The tensor (H, W) or (H, W, classes) that was written as `body`."""
        flat = np.frombuffer(body, _DTYPES[self.kind])
        shape = (height, width) if self.tensor != "probabilities" else (height, width, -1)
        return flat.reshape(shape)


@dataclass(frozen=True)
class Wanted:
    """A result that is asked for, with the options it is written by."""

    result: Result
    options: OutputOptions


def _tensor(name: Need, options: type[OutputOptions]) -> Result:
    def encode(segmentation: Segmentation, _options: OutputOptions) -> Iterable[bytes]:
        return [tensor_of(segmentation, name).tobytes()]

    output = Output(name, name, _RAW, options, f"`{name}` as it is.", encode)
    return Result(name, TENSORS[name], output, name)


def tensor_of(segmentation: Segmentation, name: Need) -> NDArray[Any]:
    array: NDArray[Any] | None = getattr(segmentation, name)
    assert array is not None  # the options say need
    return array


def _file(output: Output) -> Result:
    name = f"{output.name}_png" if output.name in TENSORS else output.name
    is_text = all(media_type.endswith("json") for media_type in output.media_types)
    return Result(name, "BYTES", output, is_text=is_text)


RESULTS: Final[dict[str, Result]] = {
    result.name: result
    for result in (
        _tensor("class_map", _ClassMapOptions),
        _tensor("probabilities", _ProbabilitiesOptions),
        _tensor("confidence", _ConfidenceOptions),
        *(_file(output) for output in OUTPUTS.values() if output.project is None),
    )
}


def wanted(names: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any]) -> list[Wanted]:
    """The results `names`, each with options of its own, and with those in `common` that it has.

    Raises MalformedRequestError.
    """
    results = [_result_named(name) for name in names]
    for option in common:
        if not any(option in result.output.options.model_fields for result in results):
            raise MalformedRequestError(_stray(option, results))
    asked = []
    for result, own in zip(results, names.values(), strict=True):
        known = result.output.options.model_fields
        for option in own:
            if option not in known:
                raise MalformedRequestError(_stray(option, [result]))
        shared = {name: value for name, value in common.items() if name in known}
        asked.append(Wanted(result, _options(result, {**shared, **own})))
    for option in _SHARED:
        if len({getattr(one.options, option) for one in asked}) > 1:
            raise MalformedRequestError(
                f"The outputs of a request share the parameter {option}; ask for others in a "
                "request of their own."
            )
    return asked


def check_for_pixels(asked: Sequence[Wanted]) -> None:
    """Raises MalformedRequestError for options that say how a file is read."""
    for option, value in _shared_options(asked).items():
        default = OutputOptions.model_fields[option].default
        if value != default and option not in _FOR_PIXELS:
            raise MalformedRequestError(
                f"Parameter {option} is of files alone; pixels are taken as they are. "
                "Leave it out, or send the file."
            )


def _shared_options(asked: Sequence[Wanted]) -> dict[str, Any]:
    """What all outputs have alike, for an image is read and segmented once for all of them."""
    return {option: getattr(asked[0].options, option) for option in _SHARED}


def _result_named(name: str) -> Result:
    if name not in RESULTS:
        raise MalformedRequestError(
            f"There is no output {name[:40]!r}; the outputs are {', '.join(RESULTS)}."
        )
    return RESULTS[name]


def _options(result: Result, given: Mapping[str, Any]) -> OutputOptions:
    try:
        return result.output.options.model_validate(dict(given))
    except ValidationError as error:
        fault = first_fault(error)
        given_here = str(fault.given)[:40]
        raise MalformedRequestError(
            f"Parameter {fault.place} of output {result.name} is {given_here!r}: {fault.message}."
        ) from None


def _stray(option: str, results: Sequence[Result]) -> str:
    names = ", ".join(result.name for result in results)
    takes = dict.fromkeys(name for result in results for name in result.output.options.model_fields)
    return f"Parameter {option[:40]} is not one of {names}; there are: {', '.join(takes)}."


class _BundleOptions(OutputOptions):
    parts: tuple[Wanted, ...]

    @property
    def need(self) -> Need:
        return _most({one.options.need for one in self.parts})

    def needed(self, contract: Contract) -> Need:
        return _most({one.options.needed(contract) for one in self.parts})


_MOST_FIRST: Final[tuple[Need, ...]] = (
    "probabilities",
    "uncertainty",
    "confidence",
    "mean_confidence",
    "class_map",
)


def _most(needs: Collection[Need]) -> Need:
    """The one that brings the others with it."""
    return next(need for need in _MOST_FIRST if need in needs)


def bundle(asked: Sequence[Wanted]) -> tuple[Output, OutputOptions]:
    """All of `asked` as one output, whose body `unbundle` takes apart."""
    options = _BundleOptions(**_shared_options(asked), parts=tuple(asked))
    needs_image = any(one.result.output.needs_image for one in asked)
    return Output("bundle", "Bundle", _RAW, _BundleOptions, "", _encode, needs_image), options


def encode_all(segmentation: Segmentation, asked: Sequence[Wanted]) -> list[bytes]:
    return [one.result.output.write(segmentation, one.options).body for one in asked]


def _encode(segmentation: Segmentation, options: _BundleOptions) -> Iterable[bytes]:
    bodies = encode_all(segmentation, options.parts)
    if len(bodies) == 1:
        return bodies
    return [part for body in bodies for part in (len(body).to_bytes(_PARTS_LENGTH, "little"), body)]


def unbundle(body: bytes, count: int) -> list[bytes]:
    """The bodies of `count` results, in the order in which they were asked for."""
    if count == 1:
        return [body]
    bodies = []
    place = 0
    for _ in range(count):
        start = place + _PARTS_LENGTH
        place = start + int.from_bytes(body[place:start], "little")
        bodies.append(body[start:place])
    return bodies
