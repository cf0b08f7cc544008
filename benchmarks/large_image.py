"""Question: what memory and time does a 100-megapixel picture take, and is its map that of the untiled one?

    .venv/bin/python -m benchmarks.large_image

A 10,000×10,000 JPEG through HTTP, peak resident memory above idle. Equality is checked where both fit: a 1920×1440 picture through
a server that tiles it and through one that does not.
"""

import io
import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.serving import measured_server, post, write_result

SIDE = 10_000


def _picture(width: int, height: int) -> bytes:
    """Soft blobs with grain: something for a network to find edges in."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (height // 80 + 1, width // 80 + 1, 3), np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=92)
    return buffer.getvalue()


def _class_map(png: bytes) -> NDArray[np.uint8]:
    Image.MAX_IMAGE_PIXELS = None
    return np.asarray(Image.open(io.BytesIO(png)))


def main() -> None:
    """Measure, print, and keep the result."""
    patience = ("--request-timeout-seconds", "1800", "--max-upload-bytes", str(2**28))
    with measured_server(*patience) as server:
        post(f"{server.url}/segment", _picture(480, 360))
        idle = server.resident_bytes()
        body = _picture(SIDE, SIDE)
        began = time.perf_counter()
        with server.watching_memory():
            class_map = _class_map(post(f"{server.url}/segment", body))
        seconds = time.perf_counter() - began
        peak = server.peak_bytes
    assert class_map.shape == (SIDE, SIDE)
    smaller = _picture(1920, 1440)
    maps = []
    for side in ("1024", "4096"):
        with measured_server("--tile-side-pixels", side) as server:
            maps.append(_class_map(post(f"{server.url}/segment", smaller)))
    write_result(
        "large_image",
        {
            "megapixels": SIDE * SIDE / 1e6,
            "seconds": seconds,
            "idle_megabytes": idle / 1e6,
            "peak_above_idle_megabytes": (peak - idle) / 1e6,
            "tiled_equals_untiled_share_of_pixels": float(np.mean(maps[0] == maps[1])),
        },
    )


if __name__ == "__main__":
    main()
