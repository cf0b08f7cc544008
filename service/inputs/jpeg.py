"""JPEG: by libjpeg-turbo straight into an array; Pillow reads the header and what is damaged.

Of a file with several pictures (a stereo pair, a gain map, a film behind a motion photograph) the
first one is the picture; the others are views or parts of it and no pages.
"""

import math
import re
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from service.domain.classes import bands
from service.domain.errors import UnreadableImageError
from service.domain.source import Samples, SourceInfo, Window
from service.inputs.input import Body, Input, place_of_page, refuse_large, starts_with
from service.inputs.pillow_source import (
    PillowSource,
    open_with_pillow,
    reader_of,
)
from service.inputs.pixels import turn_upright

NAME = "JPEG"

_MAX_SCANS = 100  # a progressive camera JPEG has about 10; each is a pass over the whole picture
_SMALL_FILE_BYTES = 2**18
_SMALL_HEADER_BYTES, _SMALL_HEADER_SEGMENTS = 2**11, 32  # Pillow itself writes 623 and 9 to 10
_SIGNATURE = b"\xff\xd8\xff"
_START = b"\xff\xd8"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_TEMPORARY = 0x01  # the one marker beside restarts that has no length behind it
_SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1, 0xC9})
_PLAIN_FRAMES = frozenset({0xC0, 0xC1})  # by Huffman's code
_APP0 = 0xE0
_TABLES_AND_COMMENTS = frozenset({0xC4, 0xDB, 0xDD, 0xFE})
# Within a scan's data 0xFF is followed by 0, by a restart marker, or by the marker that ends it.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_BANDS = {"RGB": 3, "L": 1}
_COLORS = {3: "RGB", 1: "GRAY"}
# libjpeg-turbo's own scaling by M/8: only these are faster than the whole, the others are slower.
_SCALES = (1.0, 0.5, 0.25, 0.125)
_LEAST_SCALED_SIDE = 64  # below, two of them may round up to one size
_open = reader_of("JPEG", "MPO")

# What Pillow holds of a damaged picture is not in `decoding_bytes`, for nobody knows beforehand
# which is damaged: of larger ones, one is read at a time.
_SMALL_PIXELS = 2**22
_one_uncounted = threading.Lock()


class JpegSource(PillowSource):
    """A Source of a JPEG.

    Pillow has the same library and gives the same pixels, and takes 1.6 times as long for 480 × 360
    and 5 times for 1280 × 960, most of it for copies. What is damaged in any way is left to Pillow,
    which decides whether to show it; so is CMYK.
    """

    def __init__(self, image: Image.Image, data: bytes) -> None:
        super().__init__(NAME, image, SourceInfo())
        self._data = data
        self.scales = _scales(*image.size) if image.mode in _BANDS else (1.0,)

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        stored = None if window is not None else self._decode(scale)
        if stored is not None:
            return turn_upright(stored, self.orientation)
        with self._one_at_a_time():
            self._draft(scale)
            return super().read(window, scale)

    def stored_rows(self, scale: float = 1.0) -> Iterator[Samples]:
        stored = self._decode(scale)
        if stored is None:
            with self._one_at_a_time():
                self._draft(scale)
                yield from super().stored_rows(scale)
        else:
            yield from (stored[rows] for rows in bands(*stored.shape[:2]))

    def _one_at_a_time(self) -> AbstractContextManager[object]:
        """For what is damaged and large."""
        is_counted = self._image.mode not in _BANDS or math.prod(self._image.size) <= _SMALL_PIXELS
        return nullcontext() if is_counted else _one_uncounted

    def _draft(self, scale: float) -> None:
        if scale < 1:
            image = self._image
            image.draft(None, (int(image.width * scale), int(image.height * scale)))

    def decoding_bytes(self, scale: float, *, in_rows: bool = False) -> int:
        """Of a progressive file it is all coefficients, of its own size whatever the scale."""
        image = self._image
        count = _BANDS.get(image.mode)
        if count is None:
            return super().decoding_bytes(scale, in_rows=in_rows)
        coefficients = 2 * count * self.height * self.width if "progressive" in image.info else 0
        pixels = math.ceil(self.height * scale) * math.ceil(self.width * scale)
        is_twice = in_rows or self.orientation != 1
        return coefficients + (pixels * count if is_twice else 0)

    def _decode(self, scale: float) -> NDArray[np.uint8] | None:
        """The pixels as stored, or None where Pillow is to decode them."""
        image = self._image
        count = _BANDS.get(image.mode)
        if count is None:
            return None
        return decoded(self._data, (image.height, image.width, count), scale)


class PlainHeader(NamedTuple):
    """Of one sequential picture of 8 bits, with nothing beside it that changes how it is shown."""

    height: int
    width: int
    bands: int


class PlainJpegSource:
    """A Source of a JPEG with such a header. Pillow, whose way to it takes a sixth of a small
    request's time, is asked only where the picture is damaged.
    """

    type = NAME
    sample_bytes = orientation = 1

    def __init__(self, header: PlainHeader, data: bytes) -> None:
        self.height, self.width, self.bands = header
        self.info = SourceInfo()
        self.scales = _scales(self.width, self.height)
        self._header, self._data = header, data

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        stored = None if window is not None else decoded(self._data, self._header, scale)
        return self._by_pillow().read(window, scale) if stored is None else stored

    def stored_rows(self, scale: float = 1.0) -> Iterator[Samples]:
        stored = decoded(self._data, self._header, scale)
        if stored is None:
            yield from self._by_pillow().stored_rows(scale)
        else:
            yield from (stored[rows] for rows in bands(*stored.shape[:2]))

    def decoding_bytes(self, scale: float, *, in_rows: bool = False) -> int:
        if not in_rows:
            return 0
        return math.ceil(self.height * scale) * math.ceil(self.width * scale) * self.bands

    def overhang(self, scale: float) -> tuple[int, int]:  # noqa: ARG002 - nothing is turned over
        return 0, 0

    def _by_pillow(self) -> JpegSource:
        return JpegSource(open_with_pillow(NAME, self._data, _open), self._data)


def decoded(data: bytes, stored: tuple[int, int, int], scale: float) -> NDArray[np.uint8] | None:
    """The pixels at one of `_SCALES` of the `stored` (H, W, bands); None where they are damaged."""
    height, width = (math.ceil(side * scale) for side in stored[:2])
    pixels = np.empty((height, width, stored[2]), np.uint8)
    least = (height, width) if scale < 1 else (0, 0)
    try:
        # the buffer bounds what is written, should the two readers find different sizes
        simplejpeg.decode_jpeg(
            data,
            _COLORS[stored[2]],
            min_height=least[0],
            min_width=least[1],
            min_factor=1 if scale == 1 else 1 / scale,
            buffer=pixels,
        )
    except ValueError:
        return None
    return pixels


def _scales(width: int, height: int) -> Sequence[float]:
    return _SCALES if min(width, height) >= _LEAST_SCALED_SIDE else (1.0,)


def open_jpeg(data: bytes, page: int | None, max_pixels: int) -> JpegSource | PlainJpegSource:
    """Raises as `Input.open` says."""
    if has_many_scans(data):
        raise UnreadableImageError(
            f"The JPEG has more than {_MAX_SCANS} scans, which are not decoded. Save it as a "
            "baseline JPEG."
        )
    header = plain_header(data[:_SMALL_HEADER_BYTES])
    if header is not None:
        refuse_large(header.width, header.height, max_pixels)
        place_of_page(NAME, page, 1)
        return PlainJpegSource(header, data)
    image = open_with_pillow(NAME, data, _open)
    refuse_large(*image.size, max_pixels)
    place_of_page(NAME, page, 1)
    return JpegSource(image, data)


def opens_at_once(body: Body) -> bool:
    """Whether the header is read in a fraction of a millisecond.

    The file is copied, and Pillow reads segment after segment until the first scan: 80 ms where a
    file of that size has nothing else.
    """
    if len(body) > _SMALL_FILE_BYTES:
        return False
    start = bytes(body[:_SMALL_HEADER_BYTES])
    return start.startswith(_SIGNATURE) and _scan_is_near(start)


def _scan_is_near(start: bytes) -> bool:
    """Whether the first scan begins within `start`, after a few segments without anything between
    them.
    """
    at = len(_START)
    for _ in range(_SMALL_HEADER_SEGMENTS):
        if at + 4 > len(start) or start[at] != 0xFF:
            return False
        if start[at + 1] == _START_OF_SCAN:
            return True
        at += 2 + int.from_bytes(start[at + 2 : at + 4])
    return False


def plain_header(start: bytes) -> PlainHeader | None:
    """What a header within `start` says that has the picture's tables and sides, perhaps JFIF's
    resolution and a comment, and nothing else: no EXIF, no Adobe's colors, no profile.
    """
    at, found = len(_START), None
    while at + 4 <= len(start) and start[at] == 0xFF:
        marker = start[at + 1]
        if marker == _START_OF_SCAN:
            return found
        length = int.from_bytes(start[at + 2 : at + 4])
        segment = start[at + 4 : at + 2 + length]
        if marker in _PLAIN_FRAMES:
            if found is not None or len(segment) < 6:
                return None
            precision, height, width, count = struct.unpack_from(">BHHB", segment)
            if precision != 8 or not height or not width or count not in _COLORS:
                return None
            found = PlainHeader(height, width, count)
        elif marker == _APP0:
            if not segment.startswith(b"JFIF\0"):
                return None
        elif marker not in _TABLES_AND_COMMENTS:
            return None
        at += 2 + length
    return None


def has_many_scans(data: bytes) -> bool:
    """Whether the picture has more scans than are decoded.

    The markers are followed from one to the next, so that bytes that only look like one (in a maker
    note, a thermal picture in APP segments, a film behind the picture) do not count. A sequential
    picture whose first scan has all components ends with it.
    """
    at, scans = len(_START), 0
    components = None  # of a sequential picture
    while scans <= _MAX_SCANS:
        found = _MARKER.search(data, at)
        if found is None:
            return False
        at, marker = found.start(), data[found.start() + 1]
        if marker == _END_OF_IMAGE or at + 4 >= len(data):
            return False
        if marker in _SEQUENTIAL_FRAMES:
            components = data[at + 9] if at + 9 < len(data) else None
        elif marker == _START_OF_SCAN:
            scans += 1
            if data[at + 4] == components:
                return False
        at += 2 if marker == _TEMPORARY else 2 + int.from_bytes(data[at + 2 : at + 4])
    return True


JPEG = Input(
    name=NAME,
    media_types=("image/jpeg",),
    suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
    sniff=starts_with(_SIGNATURE),
    open=open_jpeg,
    opens_at_once=opens_at_once,
)
