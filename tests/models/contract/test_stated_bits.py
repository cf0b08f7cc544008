import struct

import pytest

from models.contract.stated_bits import png_bits, png_chunks, tiff_bits


def png(depth: int, color_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", 3, 2, depth, color_type, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), *chunks):
        body += struct.pack(">I", len(data)) + kind + data + b"\0\0\0\0"
    return body


@pytest.mark.parametrize(
    ("depth", "color_type", "stated", "bits"),
    [
        (16, 0, b"\x0c", 12),
        (16, 2, b"\x0a\x0c\x0b", 12),
        (16, 4, b"\x0c\x10", 12),
        (16, 6, b"\x0c\x0c\x0c\x10", 12),
        (8, 3, b"\x05\x06\x05", None),  # of a palette's colors
        (16, 0, b"\x11", None),
        (16, 0, b"\0", None),
        (16, 0, b"", None),
    ],
)
def test_a_png_states_the_bits_of_its_color(
    depth: int, color_type: int, stated: bytes, bits: int | None
) -> None:
    assert png_bits(png(depth, color_type, (b"sBIT", stated), (b"IDAT", b""))) == bits


def test_a_png_that_says_nothing_or_too_late_states_nothing() -> None:
    assert png_bits(png(16, 0, (b"IDAT", b""))) is None
    assert png_bits(png(16, 0, (b"IDAT", b""), (b"sBIT", b"\x0c"))) is None
    assert png_bits(b"\x89PNG\r\n\x1a\n") is None


def test_chunks_end_where_the_file_does() -> None:
    body = png(16, 0, (b"tEXt", b"abc"), (b"IDAT", b"12345"))
    assert [chunk.kind for chunk in png_chunks(body)] == [b"IHDR", b"tEXt", b"IDAT"]
    assert [chunk.kind for chunk in png_chunks(body[:-1])] == [b"IHDR", b"tEXt"]
    text = [chunk for chunk in png_chunks(body) if chunk.kind == b"tEXt"]
    assert [body[start : start + size] for _, start, size in text] == [b"abc"]


OME = b"""<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Image ID="Image:0"><Pixels DimensionOrder="XYZCT" ID="Pixels:0"
SignificantBits="12" SizeX="7" Type="uint16"></Pixels></Image></OME>"""


@pytest.mark.parametrize(
    ("max_sample_value", "description", "bits"),
    [
        (0, OME, 12),
        (65_535, OME, 12),
        (0, OME.replace(b"<Pixels", b"<ome:Pixels"), 12),
        (0, OME.replace(b'"12"', b'"16"'), None),
        (4095, b"", 12),
        (1000, b"a microscope's", 10),
        (65_535, b"", None),
        (255, b"", None),  # nobody knows what the upper byte is for
        (0, b'SignificantBits="12"', None),
    ],
)
def test_a_tiff_states_them_in_two_ways(
    max_sample_value: int, description: bytes, bits: int | None
) -> None:
    assert tiff_bits(max_sample_value, description, 16) == bits
