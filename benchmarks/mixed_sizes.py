"""Question: what is left of the speed when the images have different sizes?

    .venv/bin/python -m benchmarks.mixed_sizes            (3 minutes, after peer_throughput)

Five sizes, shuffled, 16 callers: segserve with each engine and the best peer, in turn.
"""

import json
import random
from functools import partial
from pathlib import Path

from benchmarks.load import Load, closed_loop
from benchmarks.measuring import Run, alternate, begin, ratio, summary
from benchmarks.peer_throughput import all_running, best_settings, measured
from benchmarks.pictures import MIXED, photographs, source
from benchmarks.servers import Running, engines, peer, segserve

CALLERS = 16
IMAGES_A_SIZE = 8
ROUNDS = 4
SECONDS = 6.0
RAMP_SECONDS = 1.5


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    photos = [photo for size in MIXED for photo in photographs(IMAGES_A_SIZE, size)]
    random.Random(0).shuffle(photos)
    best = best_peer_of_the_results(run.results)
    candidates = [
        *(segserve(name, *flags) for name, flags in engines().items()),
        peer(best, best_settings(run.results)[best]),
    ]
    with all_running(candidates, photos[0]) as servers:
        loads = alternate(
            {name: partial(_load, run, server, photos) for name, server in servers.items()},
            run.rounds(ROUNDS),
            "mixed sizes",
        )
    rates = {name: [load.rate for load in rounds] for name, rounds in loads.items()}
    run.write(
        "mixed_sizes",
        {
            "images": source(),
            "sizes": [f"{width}×{height}" for width, height in MIXED],
            "callers": CALLERS,
            "best_peer": best,
            "servers": {
                name: {
                    "images_a_second": summary(values),
                    "over_best_peer": ratio(values, rates[best]),
                    "statuses": [load.statuses for load in loads[name]],
                }
                for name, values in rates.items()
            },
        },
    )


def best_peer_of_the_results(results: Path) -> str:
    file = results / "peer_throughput.json"
    if not file.exists():
        raise SystemExit("run `python -m benchmarks.peer_throughput` first: it finds the best peer")
    name: str = json.loads(file.read_text())["best_peer"]
    return name


def _load(run: Run, server: Running, photos: list[bytes]) -> Load:
    requests = [server.candidate.request(photo) for photo in photos]
    seconds = run.seconds(SECONDS)
    return measured(
        server,
        lambda: closed_loop(server.port, requests, CALLERS, seconds, ramp_seconds=RAMP_SECONDS),
    )


if __name__ == "__main__":
    main()
