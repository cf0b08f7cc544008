"""Question: does memory stay flat while requests of ever other sizes go through?

    .venv/bin/python -m benchmarks.soak [REQUESTS]

A server with the bundled model, 4 callers, images of random sizes from 16×16 to 480×640 in turn through four formats. Resident
memory is read every 250 requests; said is how much it grew over the second half, when everything has been seen.
"""

import io
import itertools
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from benchmarks.serving import measured_server, post, write_result

REQUESTS = 5000
CALLERS = 4
READ_EVERY = 250
FORMATS = ("png", "rle", "polygons", "coco")


def _photographs(count: int) -> list[bytes]:
    draw = np.random.default_rng(0)
    bodies = []
    for _ in range(count):
        height, width = int(draw.integers(16, 481)), int(draw.integers(16, 641))
        coarse = draw.integers(0, 256, (-(-height // 24), -(-width // 24), 3), np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        image.save(buffer, "jpeg", quality=90)
        bodies.append(buffer.getvalue())
    return bodies


def main() -> None:
    """Measure, print, and keep the result."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    bodies = _photographs(400)
    work = list(itertools.islice(zip(itertools.cycle(bodies), itertools.cycle(FORMATS)), requests))
    resident: list[int] = []
    with measured_server() as server, ThreadPoolExecutor(CALLERS) as callers:
        idle = server.resident_bytes()
        began = time.perf_counter()

        def ask(job: tuple[bytes, str]) -> int:
            body, format_name = job
            return len(post(f"{server.url}/segment?format={format_name}", body))

        for done, size in enumerate(callers.map(ask, work), start=1):
            assert size > 0
            if done % READ_EVERY == 0:
                resident.append(server.resident_bytes())
        seconds = time.perf_counter() - began
    half = len(resident) // 2
    early, late = float(np.median(resident[half : half + 3])), float(np.median(resident[-3:]))
    write_result(
        "soak",
        {
            "requests": requests,
            "sizes": len(bodies),
            "requests_a_second": requests / seconds,
            "idle_megabytes": idle / 1e6,
            "resident_megabytes": [round(value / 1e6, 1) for value in resident],
            "growth_in_second_half_megabytes": (late - early) / 1e6,
        },
    )


if __name__ == "__main__":
    main()
