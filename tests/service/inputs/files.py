"""Files of every type that is read, made from pictures, and what is common to their tests."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

LIMIT = 1_000_000
HEIGHT, WIDTH = 24, 40


def blocks(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Four flat quarters, red, green, blue and white: lossy formats keep them nearly."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (250, 10, 10)
    picture[: height // 2, width // 2 :] = (10, 250, 10)
    picture[height // 2 :, : width // 2] = (10, 10, 250)
    picture[height // 2 :, width // 2 :] = (250, 250, 250)
    return picture


def save(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def heic(image: Image.Image) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=95)
    return file.getvalue()


def png(header: tuple[int, ...], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG put together by hand. `header` is width, height, depth, color type."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)), *chunks, (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_claiming(width: int, height: int) -> bytes:
    body = bytearray(save(Image.new("RGB", (8, 8)), "JPEG"))
    start = body.index(b"\xff\xc0")
    body[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(body)


LOSSLESS: dict[str, Callable[[Image.Image], bytes]] = {
    "png": lambda image: save(image, "PNG"),
    "palette png": lambda image: save(image.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    "rgba png": lambda image: save(image.convert("RGBA"), "PNG"),
    "webp": lambda image: save(image, "WEBP", lossless=True),
    "tiff": lambda image: save(image, "TIFF"),
    "tiff lzw": lambda image: save(image, "TIFF", compression="tiff_lzw"),
    "bmp": lambda image: save(image, "BMP"),
    "gif": lambda image: save(image.convert("P", palette=Image.Palette.ADAPTIVE), "GIF"),
}
LOSSY: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": lambda image: save(image, "JPEG", quality=95),
    "progressive jpeg": lambda image: save(image, "JPEG", quality=95, progressive=True),
    "cmyk jpeg": lambda image: save(image.convert("CMYK"), "JPEG", quality=95),
    "cmyk tiff": lambda image: save(image.convert("CMYK"), "TIFF"),
    "ycbcr tiff": lambda image: save(image.convert("YCbCr"), "TIFF"),
    "webp": lambda image: save(image, "WEBP", quality=95),
    "avif": lambda image: save(image, "AVIF", quality=95),
    "heic": heic,
    "mpo": lambda image: save(
        image, "MPO", save_all=True, append_images=[Image.new("RGB", image.size)]
    ),
}
