"""Tensors in JSON: lists of values, nested or flat, row-major."""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any, Final

import orjson
from numpy.typing import NDArray

from service.domain.errors import AnswerTooLargeError
from service.protocols.problems import BodyTooLargeError, MalformedRequestError

# Lists of numbers take many times their text once they are read.
MAX_JSON_BYTES: Final = 32 * 2**20
MAX_JSON_LISTS: Final = 3 * 2**20
MAX_JSON_VALUES: Final = 2**24
# A larger text is read and written beside the event loop, one at a time.
INLINE_BYTES: Final = 256 * 1024


def load_json(text: bytes | bytearray | memoryview) -> Any:
    """What `text` says. Raises MalformedRequestError and BodyTooLargeError."""
    if len(text) > MAX_JSON_BYTES:
        raise BodyTooLargeError(
            f"The JSON has {len(text)} bytes; the limit is {MAX_JSON_BYTES} bytes. "
            "Send the image as a file, or where the protocol can, the tensor as binary data."
        )
    json = bytes(text)
    if json.count(b"[") + json.count(b"{") > MAX_JSON_LISTS:
        raise BodyTooLargeError(
            f"The JSON has more than {MAX_JSON_LISTS} lists and objects. Send the image as a file, "
            "or where the protocol can, the tensor flat or as binary data."
        )
    try:
        return orjson.loads(json)
    except orjson.JSONDecodeError as error:
        raise MalformedRequestError(f"The request is not JSON: {error.msg}.") from None


def check_json_size(name: str, arrays: Sequence[NDArray[Any]], way_out: str) -> None:
    """Raises AnswerTooLargeError where `arrays` are more numbers than JSON should hold."""
    values = sum(array.size for array in arrays)
    if values > MAX_JSON_VALUES:
        raise AnswerTooLargeError(
            f"Output {name} has {values:,} values; JSON takes up to {MAX_JSON_VALUES:,}. {way_out}"
        )


def shape_of(data: Any) -> list[int]:
    """The shape that `data` has if all its lists of one depth are as long as the first."""
    shape = []
    while isinstance(data, list):
        shape.append(len(data))
        data = data[0] if data else None
    return shape


def read_uint8(data: Any, shape: Sequence[int], name: str) -> bytes:
    """The values of `data` in row-major order. Raises MalformedRequestError."""
    values = _flat(data, shape, name)
    kinds = set(map(type, values))
    if kinds != {int}:
        stray = next(value for value in values if type(value) is not int)
        raise MalformedRequestError(
            f"Input {name} has the value {_shown(stray)}; UINT8 takes whole numbers from 0 to 255."
        )
    try:
        return bytes(values)
    except ValueError:
        stray = next(value for value in values if not 0 <= value <= 255)
        raise MalformedRequestError(
            f"Input {name} has the value {_shown(stray)}; UINT8 takes whole numbers from 0 to 255."
        ) from None


def read_texts(data: Any, shape: Sequence[int], name: str) -> list[str]:
    """The elements of a BYTES tensor; one alone may stand without brackets.

    Raises MalformedRequestError.
    """
    values = [data] if isinstance(data, str) else _flat(data, shape, name)
    if len(values) != prod(shape):
        raise _wrong_count(name, len(values), shape)
    for value in values:
        if not isinstance(value, str):
            raise MalformedRequestError(
                f"Input {name} has the element {_shown(value)}; BYTES in JSON takes base64 text."
            )
    return values


def _flat(data: Any, shape: Sequence[int], name: str) -> list[Any]:
    """The leaves of `data`, as many as `shape` says.

    Where lists lie in lists, they must have that shape.
    """
    if not isinstance(data, list):
        raise MalformedRequestError(
            f"Input {name} has data {_shown(data)}; it takes a list, nested or flat, row after row."
        )
    level = data
    lengths = [len(level)]
    while level and isinstance(level[0], list):
        if len(lengths) == len(shape):
            raise MalformedRequestError(
                f"Input {name} has lists {len(lengths) + 1} deep and shape {list(shape)}; "
                f"nest them {len(shape)} deep, or send one flat list."
            )
        if set(map(type, level)) != {list} or len(set(map(len, level))) > 1:
            raise MalformedRequestError(
                f"Input {name} has rows of different lengths. All images of a tensor have one "
                "size; send others in BYTES as encoded files, or in requests of their own."
            )
        lengths.append(len(level[0]))
        level = list(chain.from_iterable(level))
    if len(level) != prod(shape):
        raise _wrong_count(name, len(level), shape)
    if len(lengths) > 1 and _without_ones(lengths) != _without_ones(shape):
        raise MalformedRequestError(
            f"Input {name} has data of shape {lengths} and says that its shape is {list(shape)}."
        )
    return level


def _without_ones(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]


def _wrong_count(name: str, count: int, shape: Sequence[int]) -> MalformedRequestError:
    return MalformedRequestError(
        f"Input {name} has {count} values and its shape {list(shape)} says {prod(shape)}."
    )


def _shown(value: Any) -> str:
    """A value as JSON would have it, cut short: it comes from a stranger."""
    text = {True: "true", False: "false", None: "null"}[value] if _is_word(value) else repr(value)
    return text if len(text) <= 40 else text[:40] + "…"


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)
