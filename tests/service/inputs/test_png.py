"""PNG of 16 bits: color keeps its depth, and what the file says of it is heard."""

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from service.domain.errors import (
    ImageTooLargeError,
    InvalidOptionError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)
from service.domain.source import Window
from service.inputs import open_source
from service.inputs.pixels import turn_upright
from tests.service.inputs.files import LIMIT, png

GRAY, RGB, GRAY_ALPHA, RGB_ALPHA = (0, 1), (2, 3), (4, 2), (6, 4)  # PNG's color type, samples
COLORS = {GRAY: 1, RGB: 3, GRAY_ALPHA: 1, RGB_ALPHA: 3}
HEIGHT, WIDTH = 5, 7


def drawn(samples: int) -> NDArray[np.uint16]:
    return np.random.default_rng(samples).integers(0, 4096, (HEIGHT, WIDTH, samples), np.uint16)


def deep_png(
    samples: NDArray[np.uint16],
    color_type: int,
    before: tuple[tuple[bytes, bytes], ...] = (),
    behind: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = (samples.shape[1], samples.shape[0], 16, color_type)
    return png(header, *before, (b"IDAT", zlib.compress(rows)), *behind)


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    return block.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("kind", COLORS)
def test_every_kind_keeps_its_16_bits_and_drops_its_alpha(kind: tuple[int, int]) -> None:
    samples = drawn(kind[1])
    source = open_source(deep_png(samples, kind[0]), LIMIT)
    assert (source.height, source.width, source.bands) == (HEIGHT, WIDTH, COLORS[kind])
    np.testing.assert_array_equal(source.read(), samples[..., : COLORS[kind]])
    part = source.read(Window(1, 2, 3, 4))
    np.testing.assert_array_equal(part, samples[1:4, 2:6, : COLORS[kind]])
    assert source.info.significant_bits is None


@pytest.mark.parametrize("kind", [GRAY, RGB])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("is_behind", [False, True], ids=["before", "behind"])
def test_it_is_turned_by_its_exif_wherever_that_lies(
    kind: tuple[int, int], orientation: int, is_behind: bool
) -> None:
    samples, chunk = drawn(kind[1]), ((b"eXIf", exif(orientation)),)
    body = deep_png(samples, kind[0], *((), chunk) if is_behind else (chunk,))
    source = open_source(body, LIMIT)
    upright = turn_upright(samples, orientation)
    assert (source.height, source.width) == upright.shape[:2]
    np.testing.assert_array_equal(source.read(), upright)


def test_a_damaged_exif_is_passed_over() -> None:
    body = deep_png(drawn(3), 2, ((b"eXIf", b"II*\0\xff\xff\xff"),))
    np.testing.assert_array_equal(open_source(body, LIMIT).read(), drawn(3))


@pytest.mark.parametrize("kind", COLORS)
def test_the_bits_that_it_states_are_those_of_its_color(kind: tuple[int, int]) -> None:
    stated = bytes([12] * COLORS[kind] + [16] * (kind[1] - COLORS[kind]))
    body = deep_png(drawn(kind[1]), kind[0], ((b"sBIT", stated),))
    assert open_source(body, LIMIT).info.significant_bits == 12


def test_a_file_cut_short_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 65536, (300, 300, 3)).astype(np.uint16)
    body = deep_png(noise, 2)
    source = open_source(body[: len(body) // 2], LIMIT)
    with pytest.raises(UnreadableImageError, match="truncated or corrupt"):
        source.read()


def test_its_limits_are_those_of_any_type() -> None:
    body = deep_png(drawn(3), 2)
    with pytest.raises(ImageTooLargeError, match="7 × 5 = 35 pixels"):
        open_source(body, 34)
    with pytest.raises(InvalidOptionError, match="has one page; page 2"):
        open_source(body, LIMIT, 2)


def test_an_animation_of_such_frames_is_refused() -> None:
    control = struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    chunks = ((b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", control))
    with pytest.raises(UnsupportedImageTypeError, match="an animation of 16 bits"):
        open_source(deep_png(drawn(3), 2, chunks), LIMIT)
