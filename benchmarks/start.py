"""Question: how long until it serves, and in how much memory?

    .venv/bin/python -m benchmarks.start                  (2 minutes)

From the start of the process until /health/ready says so and an image is answered, with all
bundled models, and resident memory then and at its highest with 8 callers; each engine.
"""

from functools import partial

from benchmarks.load import closed_loop
from benchmarks.measuring import alternate, begin, summary
from benchmarks.pictures import photographs
from benchmarks.servers import engines, running, segserve

CALLERS = 8
ROUNDS = 3
LOAD_SECONDS = 6.0


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    photos = photographs(8)

    def start(name: str, flags: tuple[str, ...]) -> dict[str, float | str]:
        candidate = segserve(name, *flags)
        with running(candidate, photos[0]) as server:
            idle = server.resident_bytes()
            requests = [candidate.request(photo) for photo in photos]
            with server.watching_memory() as seen:
                closed_loop(server.port, requests, CALLERS, run.seconds(LOAD_SECONDS))
            return {
                "engine": server.engine(),
                "seconds": server.ready_seconds,
                "idle_megabytes": idle / 1e6,
                "peak_megabytes": max(seen) / 1e6,
            }

    starts = alternate(
        {name: partial(start, name, flags) for name, flags in engines().items()},
        run.rounds(ROUNDS),
        "start",
    )
    measures = ("seconds", "idle_megabytes", "peak_megabytes")
    run.write(
        "start",
        {
            "engines": {
                name: {
                    "engine": rounds[0]["engine"],
                    **{what: summary([float(one[what]) for one in rounds]) for what in measures},
                }
                for name, rounds in starts.items()
            }
        },
    )


if __name__ == "__main__":
    main()
