"""The directories of a TIFF: how many pictures it holds, and how the samples of each lie.

Pillow and GDAL each tell a part of it; whether they read a picture right cannot be seen without.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from models.contract.stated_bits import tiff_bits
from models.contract.tiff_form import MIXED_FORMATS, NO_PHOTOMETRIC, TiffForm
from service.domain.errors import UnreadableImageError

_MAX_DIRECTORIES = 65_535
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TYPE_SIZES |= {13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_ASSOCIATED_ALPHA = 1
_MAX_VALUES = 16  # that are read of a tag
_ASCII, _MAX_TEXT_BYTES = 2, 2**16

_NEW_SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 254, 256, 257, 258, 262
_ORIENTATION, _SAMPLES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT = 274, 277, 284, 322, 323
_ROWS_PER_STRIP = 278
_SUB_DIRECTORIES, _INK_SET, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 330, 332, 338, 339
_COMPRESSION, _DESCRIPTION, _MAX_SAMPLE_VALUE = 259, 270, 281
_READ_TAGS = frozenset(
    (*range(254, 260), 262, 274, 277, 278, 281, 284, 322, 323, 330, 332, 338, 339)  # those above
)


@dataclass(frozen=True, kw_only=True)
class Directory(TiffForm):
    """One picture. `place` is its number in the chain of all directories, counted from 0, `offset`
    where it lies in the file.
    """

    place: int
    offset: int
    is_big: bool
    width: int
    height: int
    tile: tuple[int, int]
    rows_per_strip: int
    orientation: int
    is_reduced: bool
    is_mask: bool
    has_sub_directories: bool

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width, turned as `orientation` says."""
        is_turned = self.orientation in range(5, 9)
        return (self.width, self.height) if is_turned else (self.height, self.width)


def read_directories(data: bytes | mmap.mmap) -> list[Directory]:
    """The directories of the chain, in its order, as far as the file is whole.

    Raises UnreadableImageError where not even the first one is.
    """
    directories: list[Directory] = []
    try:
        order = {b"II": "<", b"MM": ">"}[data[:2]]
        is_big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
        directories.extend(_walk(data, _Layout(order, is_big)))
    except (struct.error, LookupError):
        pass
    if not directories:
        raise UnreadableImageError(
            "The TIFF's header cannot be read: the file is damaged or cut short. "
            "Open and save it with an image editor, and send it again."
        )
    return directories


def begin_with(data: bytes, directory: Directory) -> bytes:
    """The file with `directory` as its first one."""
    if directory.place == 0:
        return data
    layout = _Layout({b"II": "<", b"MM": ">"}[data[:2]], directory.is_big)
    at = 8 if directory.is_big else 4
    offset = struct.pack(layout.order + layout.offset, directory.offset)
    return b"".join((data[:at], offset, memoryview(data)[at + len(offset) :]))


@dataclass(frozen=True)
class _Layout:
    """How a directory is written: byte order, and 8-byte offsets in a BigTIFF."""

    order: str
    is_big: bool

    def unpack(self, code: str, data: bytes | mmap.mmap, at: int) -> int:
        value: int = struct.unpack_from(self.order + code, data, at)[0]
        return value

    @property
    def offset(self) -> str:
        return "Q" if self.is_big else "I"


def _walk(data: bytes | mmap.mmap, layout: _Layout) -> Iterator[Directory]:
    big = layout.is_big
    count_size, entry_size = (8, 20) if big else (2, 12)
    at = layout.unpack(layout.offset, data, 8 if big else 4)
    seen: set[int] = set()
    description = b""  # OME-XML is that of the first one, and speaks of all
    while at and at not in seen:
        seen.add(at)
        if len(seen) > _MAX_DIRECTORIES:
            raise UnreadableImageError(
                f"The TIFF has more than {_MAX_DIRECTORIES:,} pages. Send them in several files."
            )
        entries = layout.unpack("Q" if big else "H", data, at)
        start = at + count_size
        end = start + entries * entry_size
        if end > len(data):
            return
        claimed = 0
        tags: dict[int, tuple[int, ...]] = {}
        for entry in range(start, end, entry_size):
            tag = layout.unpack("H", data, entry)
            claimed += _bytes_of(layout, data, entry)
            if tag in _READ_TAGS:
                tags[tag] = _values(layout, data, entry)
            if tag == _DESCRIPTION and not description:
                description = _text(layout, data, entry)
        if claimed > len(data):  # whoever reads them, each by itself, would hold that much
            raise UnreadableImageError(
                "The TIFF's tags claim more bytes than the file has: it is damaged. "
                "Open and save it with an image editor, and send it again."
            )
        yield _directory(len(seen) - 1, at, big, tags, description)
        at = layout.unpack(layout.offset, data, end)


def _bytes_of(layout: _Layout, data: bytes | mmap.mmap, entry: int) -> int:
    """The bytes that an entry says its values have, where they lie elsewhere."""
    kind = layout.unpack("H", data, entry + 2)
    count = layout.unpack(layout.offset, data, entry + 4)
    size = _TYPE_SIZES.get(kind, 1) * count
    return size if size > struct.calcsize(layout.offset) else 0


def _values(layout: _Layout, data: bytes | mmap.mmap, entry: int) -> tuple[int, ...]:
    """The first whole numbers of an entry; none where it holds others."""
    code = _WHOLE_NUMBERS.get(layout.unpack("H", data, entry + 2))
    if code is None:
        return ()
    count = layout.unpack(layout.offset, data, entry + 4)
    place = entry + (12 if layout.is_big else 8)
    if _bytes_of(layout, data, entry):
        place = layout.unpack(layout.offset, data, place)
    return struct.unpack_from(f"{layout.order}{min(count, _MAX_VALUES)}{code}", data, place)


def _text(layout: _Layout, data: bytes | mmap.mmap, entry: int) -> bytes:
    """The first bytes of an entry of text; none where it holds something else."""
    size = _bytes_of(layout, data, entry)
    if layout.unpack("H", data, entry + 2) != _ASCII or not size:
        return b""
    place = layout.unpack(layout.offset, data, entry + (12 if layout.is_big else 8))
    return data[place : place + min(size, _MAX_TEXT_BYTES)]


def _directory(
    place: int, offset: int, is_big: bool, tags: dict[int, tuple[int, ...]], description: bytes
) -> Directory:
    def first(tag: int, default: int) -> int:
        return next(iter(tags.get(tag, ())), default)

    samples = max(1, first(_SAMPLES, 1))
    bits = tags.get(_BITS, (1,))
    photometric = first(_PHOTOMETRIC, NO_PHOTOMETRIC)
    subfile = first(_NEW_SUBFILE_TYPE, 0)
    formats = set(tags.get(_SAMPLE_FORMAT, (1,)))
    return Directory(
        place=place,
        offset=offset,
        is_big=is_big,
        width=first(_WIDTH, 0),
        height=first(_HEIGHT, 0),
        tile=(first(_TILE_WIDTH, 0), first(_TILE_HEIGHT, 0)),
        rows_per_strip=first(_ROWS_PER_STRIP, first(_HEIGHT, 0)),
        bits=bits * samples if len(bits) == 1 else bits,
        sample_format=formats.pop() if len(formats) == 1 else MIXED_FORMATS,
        photometric=photometric,
        samples=samples,
        is_premultiplied=first(_EXTRA_SAMPLES, 0) == _ASSOCIATED_ALPHA,
        is_planar=first(_PLANAR, 1) == 2,
        is_compressed=first(_COMPRESSION, 1) != 1,
        has_other_inks=first(_INK_SET, 1) != 1,
        orientation=first(_ORIENTATION, 1),
        stated_bits=tiff_bits(first(_MAX_SAMPLE_VALUE, 0), description, bits[0]),
        is_reduced=bool(subfile & _REDUCED),
        is_mask=bool(subfile & _MASK) or photometric == 4,
        has_sub_directories=bool(tags.get(_SUB_DIRECTORIES)),
    )
