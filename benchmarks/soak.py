"""Question: does memory stay flat while requests of ever other sizes go through?

    .venv/bin/python -m benchmarks.soak                   (4 minutes)

A server with the bundled models, each engine for itself, 4 callers, images of random sizes from
16×16 to 640×480 in turn through four formats. Resident memory is read every 150 requests; said is
how much it grew over the second half, when everything has been seen.
"""

import itertools
from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.load import closed_loop, request_of
from benchmarks.measuring import begin
from benchmarks.pictures import photographs
from benchmarks.servers import Candidate, engines, running, segserve

REQUESTS = 3000
QUICK_REQUESTS = 100
SIZES = 400
CALLERS = 4
READINGS = 20
OUTPUTS = ("png", "rle", "polygons", "coco")


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    total = QUICK_REQUESTS if run.quick else REQUESTS
    draw = np.random.default_rng(0)
    sizes = [(int(draw.integers(16, 641)), int(draw.integers(16, 481))) for _ in range(SIZES)]
    photos = [photographs(1, size)[0] for size in sizes]
    soaked = {
        name: _soak(segserve(name, *flags), photos, total) for name, flags in engines().items()
    }
    run.write("soak", {"requests": total, "sizes": SIZES, "servers": soaked})


def _soak(candidate: Candidate, photos: Sequence[bytes], total: int) -> dict[str, Any]:
    # 401 and 4 have no common divisor, so each image comes in each format
    requests = (
        request_of(photo, f"/segment?format={name}")
        for photo, name in zip(
            itertools.cycle([*photos, photos[0]]), itertools.cycle(OUTPUTS), strict=False
        )
    )
    resident, rates, statuses = [], [], set()
    with running(candidate, photos[0]) as server:
        engine, idle = server.engine(), server.resident_bytes() / 1e6
        for _ in tqdm(range(READINGS), unit=f"{total // READINGS} requests"):
            part = itertools.islice(requests, total // READINGS)
            load = closed_loop(server.port, part, CALLERS)
            resident.append(server.resident_bytes() / 1e6)
            rates.append(load.rate)
            statuses |= set(load.statuses)
    return {
        "engine": engine,
        "statuses": sorted(statuses),
        "requests_a_second": mean(rates),
        "idle_megabytes": idle,
        "resident_megabytes": resident,
        "growth_in_second_half_megabytes": resident[-1] - resident[READINGS // 2 - 1],
    }


if __name__ == "__main__":
    main()
