"""Depths and channels: how samples become what a model takes."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from service.inputs import decode
from tests.service.inputs.files import LIMIT, png, save


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_gray_png_depths_are_scaled_to_the_full_range(depth: int) -> None:
    row = bytes([0, 0xFF])  # filter "none", then the brightest pixels
    body = png((8 // depth, 1, depth, 0), (b"IDAT", zlib.compress(row)))
    assert decode(body, 1, LIMIT).tolist() == [[[255]] * (8 // depth)]


def test_sixteen_bit_gray_keeps_its_upper_byte_whatever_else_is_in_the_picture() -> None:
    values = np.array([[0x0000, 0x00FF, 0x0100, 0x1234]], np.uint16)
    alone = decode(save(Image.fromarray(values), "PNG"), 1, LIMIT)
    assert alone[..., 0].tolist() == [[0x00, 0x00, 0x01, 0x12]]
    beside_white = np.array([[0x0000, 0x00FF, 0x0100, 0x1234, 0xFFFF]], np.uint16)
    assert decode(save(Image.fromarray(beside_white), "PNG"), 3, LIMIT)[0, :, 1].tolist() == [
        0,
        0,
        1,
        0x12,
        0xFF,
    ]


def test_sixteen_bit_color_keeps_its_upper_bytes() -> None:
    row = b"\0" + struct.pack(">6H", 0x1234, 0xFFFF, 0x00FF, 0, 0x8000, 0x7FFF)
    body = png((2, 1, 16, 2), (b"IDAT", zlib.compress(row)))
    assert decode(body, 3, LIMIT).tolist() == [[[0x12, 0xFF, 0x00], [0x00, 0x80, 0x7F]]]


@pytest.mark.parametrize(("mode", "clear"), [("RGBA", (90, 90, 90, 0)), ("LA", (90, 0))])
def test_alpha_is_dropped_and_the_colors_under_it_kept(mode: str, clear: tuple[int, ...]) -> None:
    body = save(Image.new(mode, (3, 2), clear), "PNG")
    assert (decode(body, 3, LIMIT) == 90).all()


def test_a_transparent_palette_entry_keeps_its_color() -> None:
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 90, 90, 90])
    assert (decode(save(image, "PNG", transparency=bytes([0, 0])), 3, LIMIT) == 90).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_a_gray_model_gets_luma(mode: str) -> None:
    image = Image.new("RGB", (3, 2), (200, 100, 50)).convert(mode)
    body = save(image, "TIFF")
    pixels = decode(body, 1, LIMIT)
    assert pixels.shape == (2, 3, 1)
    if mode not in ("1", "P"):
        np.testing.assert_allclose(pixels, 0.299 * 200 + 0.587 * 100 + 0.114 * 50, atol=1.5)


def test_gray_becomes_three_equal_channels_for_an_rgb_model() -> None:
    body = save(Image.new("L", (3, 2), 77), "JPEG", quality=95)
    assert (decode(body, 3, LIMIT) == 77).all()
