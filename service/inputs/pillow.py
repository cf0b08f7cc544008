"""The types that Pillow reads as they are: WebP, BMP, GIF and AVIF."""

import struct

from PIL import Image

from service.domain.errors import UnreadableImageError
from service.domain.source import Source, SourceInfo
from service.inputs.input import (
    Input,
    has_brand,
    place_of_page,
    refuse_empty_side,
    refuse_large,
    starts_with,
)
from service.inputs.pillow_source import animated_source, open_with_pillow, reader_of
from service.inputs.rowwise import RowwiseSource

_MAX_GIF_BLOCKS = 2**20  # of at most 255 bytes: several times what an upload may hold
_EXTENSION, _FRAME = 0x21, 0x2C

# What the decoders hold of a pixel, as measured: libwebp two canvases, libavif its planes for
# each of its threads, and the pixels in one piece.
_WEBP_DECODER_BYTES, _AVIF_DECODER_BYTES = 9, 8
_WEBP_ROWS_BYTES = 4  # GDAL's: the picture, with alpha

_webp, _bmp, _gif, _avif = map(reader_of, ("WEBP", "BMP", "GIF", "AVIF"))


def _open_webp(data: bytes, page: int | None, max_pixels: int) -> Source:
    image = open_with_pillow("WebP", data, _webp)
    frames = _frames(image)
    if frames > 1:
        return animated_source("WebP", image, page, frames, max_pixels, _WEBP_DECODER_BYTES)
    refuse_large(*image.size, max_pixels)
    place_of_page("WebP", page, frames)
    bytes_of_pixel = _WEBP_DECODER_BYTES, _WEBP_ROWS_BYTES
    return RowwiseSource("WebP", image, data, "WEBP", SourceInfo(), *bytes_of_pixel)


def _open_bmp(data: bytes, page: int | None, max_pixels: int) -> Source:
    _refuse_empty_side("BMP", data, 18, "<ii")
    image = open_with_pillow("BMP", data, _bmp)
    return animated_source("BMP", image, page, 1, max_pixels)


def _open_gif(data: bytes, page: int | None, max_pixels: int) -> Source:
    _refuse_empty_side("GIF", data, 6, "<HH")
    image = open_with_pillow("GIF", data, _gif)
    corners = gif_frames(data)
    seen = corners[: page or 1]  # Pillow widens the picture for a frame that reaches beyond it
    width, height = (max(sides) for sides in zip(image.size, *seen, strict=True))
    refuse_large(width, height, max_pixels)
    return animated_source("GIF", image, page, max(1, len(corners)), max_pixels)


def _open_avif(data: bytes, page: int | None, max_pixels: int) -> Source:
    image = open_with_pillow("AVIF", data, _avif)
    return animated_source("AVIF", image, page, _frames(image), max_pixels, _AVIF_DECODER_BYTES)


def _frames(image: Image.Image) -> int:
    """As the header has it, for all types but GIF and TIFF."""
    return int(getattr(image, "n_frames", 1))


def _refuse_empty_side(name: str, data: bytes, offset: int, layout: str) -> None:
    """Where a fixed offset holds the size; Pillow does not tell "zero-sized" from "damaged"."""
    if len(data) >= offset + struct.calcsize(layout):
        refuse_empty_side(name, *struct.unpack_from(layout, data, offset))


def gif_frames(data: bytes) -> list[tuple[int, int]]:
    """How far to the right and down each frame of a GIF reaches, as far as the file is whole.

    Pillow would make each frame to count it. Raises UnreadableImageError where it is cut into more
    blocks than any such file needs.
    """
    frames, at, blocks = [], 13 + _color_table(data, 10), 0
    while at + 10 < len(data) and data[at] in (_EXTENSION, _FRAME):
        if data[at] == _FRAME:
            left, top, width, height = struct.unpack_from("<HHHH", data, at + 1)
            frames.append((left + width, top + height))
            at += 11 + _color_table(data, at + 9)
        else:
            at += 2
        while True:
            blocks += 1
            if blocks > _MAX_GIF_BLOCKS:
                raise UnreadableImageError(
                    f"The GIF is cut into more than {_MAX_GIF_BLOCKS:,} blocks. Save it again."
                )
            size = data[at] if at < len(data) else 0
            at += 1 + size
            if size == 0:
                break
    return frames


def _color_table(data: bytes, flags_at: int) -> int:
    """The bytes of the color table that the flags at `flags_at` tell of."""
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


WEBP = Input(
    name="WebP",
    media_types=("image/webp",),
    suffixes=(".webp",),
    sniff=lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP",
    open=_open_webp,
)
BMP = Input(
    name="BMP",
    media_types=("image/bmp",),
    suffixes=(".bmp", ".dib"),
    sniff=starts_with(b"BM"),
    open=_open_bmp,
)
GIF = Input(
    name="GIF",
    media_types=("image/gif",),
    suffixes=(".gif",),
    sniff=starts_with(b"GIF87a", b"GIF89a"),
    open=_open_gif,
)
AVIF = Input(
    name="AVIF",
    media_types=("image/avif",),
    suffixes=(".avif",),
    sniff=has_brand(b"avif", b"avis"),
    open=_open_avif,
)
