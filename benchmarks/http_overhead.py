"""Question: what does HTTP cost beside the bare pipeline?

    .venv/bin/python -m benchmarks.http_overhead          (5 minutes)

480×360 JPEG to PNG at concurrency 1, 2, 8 and 32 through the server, through its pipeline in a
process without HTTP, and through the pipeline's functions called by hand, in turn, each engine for
itself. The ratio is HTTP over the better of the two without.
"""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.bare import IMAGES, Outcome, Task, bare_pipeline
from benchmarks.load import closed_loop
from benchmarks.measuring import Run, alternate, begin, ratio, summary
from benchmarks.pictures import photographs, source
from benchmarks.servers import Running, engines, running, segserve

ENGINES = ("default", "tensorflow")
CONCURRENCIES = (1, 2, 8, 32)
ROUNDS = 3
SECONDS = 3.5
RAMP_SECONDS = 0.7


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    measured = {name: _measure(run, name, engines()[name]) for name in ENGINES}
    run.write("http_overhead", {"images": source(), "engines": measured})


def _measure(run: Run, name: str, flags: tuple[str, ...]) -> dict[str, Any]:
    photos = photographs(IMAGES)
    with running(segserve(name, *flags), photos[0]) as server, bare_pipeline(flags) as bare:
        by_concurrency = {}
        for concurrency in CONCURRENCIES:
            seconds = run.seconds(SECONDS)
            ways: dict[str, Callable[[], Outcome]] = {
                "http": partial(_http, server, photos, concurrency, seconds),
                "functions": partial(bare, Task("functions", concurrency, seconds, RAMP_SECONDS)),
                "pipeline": partial(bare, Task("pipeline", concurrency, seconds, RAMP_SECONDS)),
            }
            outcomes = alternate(ways, run.rounds(ROUNDS), f"{name}, {concurrency} at once")
            by_concurrency[str(concurrency)] = _compared(outcomes)
    return by_concurrency


def _http(server: Running, photos: list[bytes], concurrency: int, seconds: float) -> Outcome:
    requests = [server.candidate.request(photo) for photo in photos]
    load = closed_loop(server.port, requests, concurrency, seconds, ramp_seconds=RAMP_SECONDS)
    return Outcome.of(load)


def _compared(outcomes: dict[str, list[Outcome]]) -> dict[str, Any]:
    rates = {name: [one.rate for one in rounds] for name, rounds in outcomes.items()}
    p50 = {
        name: statistics.median(one.latencies["p50"] for one in rounds)
        for name, rounds in outcomes.items()
    }
    best = [max(pair) for pair in zip(rates["functions"], rates["pipeline"], strict=True)]
    return {
        "images_a_second": {name: summary(values) for name, values in rates.items()},
        "http_over_bare": ratio(rates["http"], best),
        "p50_seconds": p50,
        "added_p50_seconds": p50["http"] - min(p50["functions"], p50["pipeline"]),
    }


if __name__ == "__main__":
    main()
