"""Question: how do time and memory grow with the work?

    .venv/bin/python -m benchmarks.growth                 (5 minutes)

Pixels from 0.1 to 100 megapixels, models from 1 to 8, callers from 1 to 256; with the engine that
the server takes by itself.
"""

import itertools
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.load import Load, closed_loop, request_of
from benchmarks.measuring import Run, begin
from benchmarks.pictures import photographs, source
from benchmarks.servers import STREET, running, segserve

MEGAPIXELS = (0.1, 0.3, 1, 3, 10, 30, 100)
QUICK_MEGAPIXELS = 1
MODELS = (1, 2, 4, 8)
CALLERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = 5.0
RAMP_SECONDS = 1.0
TIMEOUT_SECONDS = 1800.0


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    run.write(
        "growth",
        {
            "images": source(),
            "pixels": _pixels(run),
            "models": [_models(run, count) for count in MODELS[: 2 if run.quick else None]],
            "callers": _callers(run),
        },
    )


def _pixels(run: Run) -> list[dict[str, Any]]:
    """One image of each size alone, and the most memory the server took above idle; small ones
    several times."""
    patience = (
        "--request-timeout-seconds",
        str(TIMEOUT_SECONDS),
        "--max-upload-bytes",
        "500000000",
    )
    sizes = [size for size in MEGAPIXELS if not run.quick or size <= QUICK_MEGAPIXELS]
    measured = []
    with running(segserve("ours", *patience), photographs(1)[0]) as server:
        idle = server.resident_bytes()
        for megapixels in tqdm(sizes, unit="size"):
            width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
            photo = photographs(1, (width, round(megapixels * 1e6 / width)))[0]
            seconds: list[float] = []
            with server.watching_memory() as seen:
                while len(seconds) < 3 and sum(seconds) < SECONDS:
                    began = time.perf_counter()
                    reply = server.fetch(photo, TIMEOUT_SECONDS)
                    seconds.append(time.perf_counter() - began)
                    if reply.status != 200:
                        raise SystemExit(f"{megapixels} megapixels: {reply.status} {reply.body!r}")
            measured.append(
                {
                    "megapixels": megapixels,
                    "seconds": statistics.median(seconds),
                    "peak_above_idle_megabytes": (max(seen) - idle) / 1e6,
                    "server_timing": reply.headers["server-timing"],
                }
            )
    return measured


def _models(run: Run, count: int) -> dict[str, Any]:
    """A server with this many models, asked in turn."""
    photos = photographs(8)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        for number in range(count):
            _copy_model(store, f"street-{number}")
        with running(segserve("ours", store=store), photos[0]) as server:
            idle = server.resident_bytes()
            requests = [
                request_of(photo, f"/segment?model=street-{number % count}")
                for number, photo in zip(range(8 * count), itertools.cycle(photos), strict=False)
            ]
            load = closed_loop(
                server.port, requests, 8, run.seconds(SECONDS), ramp_seconds=RAMP_SECONDS
            )
            ready = server.ready_seconds
    if set(load.statuses) != {"200"}:
        raise SystemExit(f"{count} models: {load.statuses}")
    return {
        "models": count,
        "ready_seconds": ready,
        "idle_megabytes": idle / 1e6,
        "images_a_second": load.rate,
        "p99_seconds": load.latency(0.99),
        "statuses": load.statuses,
    }


def _copy_model(store: Path, name: str) -> None:
    """The bundled model under another name. Its files stay as they are, and so do their digests."""
    artefact = store / name / "1"
    shutil.copytree(STREET, artefact)
    contract = artefact / "assets.extra" / "contract.json"
    contract.write_text(contract.read_text().replace('"street"', f'"{name}"', 1))


def _callers(run: Run) -> list[dict[str, Any]]:
    photos = photographs(16)
    queue = ("--max-queue-images", str(2 * max(CALLERS)))
    with running(segserve("ours", *queue), photos[0]) as server:
        requests = [server.candidate.request(photo) for photo in photos]
        return [
            {
                "callers": callers,
                **_facts(
                    closed_loop(
                        server.port,
                        requests,
                        callers,
                        run.seconds(SECONDS),
                        ramp_seconds=RAMP_SECONDS,
                    )
                ),
            }
            for callers in tqdm(CALLERS[:: 4 if run.quick else 1], unit="concurrency")
        ]


def _facts(load: Load) -> dict[str, Any]:
    return {
        "images_a_second": load.rate,
        "p50_seconds": load.latency(0.5),
        "p99_seconds": load.latency(0.99),
        "statuses": load.statuses,
    }


if __name__ == "__main__":
    main()
