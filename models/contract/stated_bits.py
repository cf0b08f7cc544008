"""How many bits of a 16-bit sample a file says are used; training and serving read the same.

A file that says so is shown by all values of those bits, as its 8-bit version would be, and not by
the values that happen to be in it.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

_PNG_START = 8
_COLOR_SAMPLES = {0: 1, 2: 3, 4: 1, 6: 3}  # by PNG's color type, without alpha
_OME_BITS = re.compile(rb"<(?:\w+:)?Pixels\s[^<>]*?\bSignificantBits=\"(\d{1,2})\"")


class PngChunk(NamedTuple):
    """Where the data of a chunk lie in the file."""

    kind: bytes
    start: int
    size: int


class PngHeader(NamedTuple):
    """`bits` a sample; `color_samples` of a pixel, alpha not among them, 0 for a palette's."""

    bits: int
    color_samples: int


def png_chunks(data: bytes) -> Iterator[PngChunk]:
    """The chunks of a PNG in their order, as far as the file is whole."""
    at = _PNG_START
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            return
        yield PngChunk(kind, at + 8, size)
        at += 12 + size


def png_header(data: bytes) -> PngHeader | None:
    """None where a PNG's header is cut short."""
    if len(data) < 26:
        return None
    return PngHeader(data[24], _COLOR_SAMPLES.get(data[25], 0))


def png_bits(data: bytes) -> int | None:
    """By sBIT, the most of any color; None where the file does not say."""
    header = png_header(data)
    if header is None or header.color_samples == 0:
        return None
    for kind, start, size in png_chunks(data):
        if kind == b"sBIT":
            stated = max(data[start : start + min(size, header.color_samples)], default=0)
            return stated if 1 <= stated <= header.bits else None
        if kind == b"IDAT":
            break
    return None


def tiff_bits(max_sample_value: int, description: bytes, bits: int) -> int | None:
    """By OME-XML's SignificantBits, else by MaxSampleValue (tag 281; 0 where there is none).

    None where neither says that fewer than `bits` are used.
    """
    found = _OME_BITS.search(description)
    stated = int(found[1]) if found else max_sample_value.bit_length()
    return stated if 8 < stated < bits else None
