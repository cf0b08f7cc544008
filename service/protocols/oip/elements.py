"""BYTES tensors as the wire has them: each element is its length, four bytes little-endian, and
itself.
"""

import struct
from collections.abc import Iterable

from service.protocols.problems import MalformedRequestError

_LENGTH = struct.Struct("<I")


def read_elements(data: memoryview, count: int, name: str) -> list[memoryview]:
    """The `count` elements that fill `data`. Raises MalformedRequestError."""
    elements: list[memoryview] = []
    place = 0
    while place < len(data):
        if len(elements) == count:
            raise MalformedRequestError(
                f"Input {name} has more than the {count} elements that its shape says."
            )
        start = place + _LENGTH.size
        if start > len(data):
            raise MalformedRequestError(
                f"Input {name} ends within the length of element {len(elements)}. Each BYTES "
                "element is its length as four bytes, little-endian, and then its bytes."
            )
        (length,) = _LENGTH.unpack_from(data, place)
        place = start + length
        if place > len(data):
            raise MalformedRequestError(
                f"Input {name} says that element {len(elements)} has {length} bytes, and "
                f"{len(data) - start} are left. Each BYTES element is its length as four bytes, "
                "little-endian, and then its bytes."
            )
        elements.append(data[start:place])
    if len(elements) < count:
        raise MalformedRequestError(
            f"Input {name} has {len(elements)} elements and its shape says {count}."
        )
    return elements


def write_elements(elements: Iterable[bytes]) -> list[bytes]:
    """The elements and their lengths, to be sent one after another."""
    return [part for element in elements for part in (_LENGTH.pack(len(element)), element)]
