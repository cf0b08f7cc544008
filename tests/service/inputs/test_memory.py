"""What a source says that decoding takes, against what the process takes for it."""

import ctypes
import gc
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from rasterio.io import MemoryFile

from service.inputs import open_source

WIDTH, HEIGHT = 4000, 3000
PIXELS = WIDTH * HEIGHT
# Pillow takes blocks of 16 MiB, and converts a band of rows at a time.
SLACK = 28 * 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads Linux' own counters")


def photo(mode: str) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    return Image.fromarray(noise.repeat(8, 0).repeat(8, 1)).convert(mode)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "PNG": ("RGB", "PNG", {"compress_level": 1}),
    "deep PNG": ("I;16", "PNG", {"compress_level": 1}),
    "turned JPEG": ("RGB", "JPEG", {"exif": turned()}),
    "progressive JPEG": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    "CMYK JPEG": ("CMYK", "JPEG", {}),
    "WebP": ("RGB", "WEBP", {"quality": 50, "method": 0}),
    "TIFF": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "deep TIFF in one strip": ("RGB", "GTiff", {}),
}


def in_one_strip() -> bytes:
    deep = np.moveaxis(np.asarray(photo("RGB")).astype(np.uint16) * 257, -1, 0)
    profile = {"dtype": "uint16", "photometric": "rgb", "compress": "deflate", "zlevel": 1}
    sides = {"count": 3, "height": HEIGHT, "width": WIDTH, "blockysize": HEIGHT}
    with MemoryFile() as file:
        with file.open(driver="GTiff", **sides, **profile) as dataset:
            dataset.write(deep)
        return bytes(file.getbuffer())


def kibibytes(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0])


def bytes_taken(data: bytes, scale: float, *, in_rows: bool = False) -> tuple[int, int]:
    """At the most while it is read, as the system has it, and as the source says."""
    source = open_source(data, PIXELS)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = kibibytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    given = 0
    if in_rows:
        for _ in source.stored_rows(scale):
            pass
    else:
        given = source.read(scale=scale).nbytes
    taken = 1024 * (kibibytes("VmHWM") - before)
    return taken, given + source.decoding_bytes(scale, in_rows=in_rows)


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_decoding_is_what_it_takes(name: str) -> None:
    mode, format, options = CASES[name]
    file = io.BytesIO()
    if mode == "I;16":
        deep = np.asarray(photo("L")).astype(np.uint16) * 257
        Image.fromarray(deep).save(file, format, **options)
    elif format == "GTiff":
        file.write(in_one_strip())
    else:
        photo(mode).save(file, format, **options)
    data = file.getvalue()
    for scale in [1.0, 0.25] if 0.25 in open_source(data, PIXELS).scales else [1.0]:
        for in_rows in (False, True):
            taken, said = bytes_taken(data, scale, in_rows=in_rows)
            assert taken < said + SLACK
            assert said < 1.25 * taken + SLACK
