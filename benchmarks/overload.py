"""Question: what becomes of the requests when twice as many come as can be served?

    .venv/bin/python -m benchmarks.overload               (4 minutes, after peer_throughput)

Capacity and overload are measured in turn: requests come at twice the last capacity, whatever
becomes of those before. Goodput is what is answered with 200 a second, over the mean of the
capacities before and after. The best peer goes through the same.
"""

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from benchmarks.load import Load, closed_loop, open_loop
from benchmarks.measuring import Run, begin, quantile, ratio
from benchmarks.mixed_sizes import best_peer_of_the_results
from benchmarks.peer_throughput import best_settings
from benchmarks.pictures import photographs, source
from benchmarks.servers import Candidate, engines, peer, running, segserve

DEADLINE_SECONDS = 10.0
OVERLOAD = 2.0
CALLERS = 8
CAPACITY_SECONDS = 5.0
SECONDS = 10.0
ROUNDS = 4


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    deadline = ("--request-timeout-seconds", str(DEADLINE_SECONDS))
    best = best_peer_of_the_results(run.results)
    candidates = [
        *(segserve(name, *engines()[name], *deadline) for name in ("default", "tensorflow")),
        peer(best, best_settings(run.results)[best]),
    ]
    measured = {candidate.name: _overload(run, candidate) for candidate in candidates}
    run.write(
        "overload",
        {
            "images": source(),
            "deadline_seconds": DEADLINE_SECONDS,
            "times_capacity": OVERLOAD,
            "servers": measured,
        },
    )


def _overload(run: Run, candidate: Candidate) -> dict[str, Any]:
    """Capacity, overload, capacity, overload, …, capacity: each overload is compared with its
    neighbours in time."""
    photos = photographs(16)
    requests = [candidate.request(photo) for photo in photos]
    overloads: list[Load] = []
    with running(candidate, photos[0]) as server:

        def capacity() -> float:
            seconds = run.seconds(CAPACITY_SECONDS)
            return closed_loop(server.port, requests, CALLERS, seconds, ramp_seconds=1.0).rate

        capacities = [capacity()]
        for _ in range(run.rounds(ROUNDS)):
            # Who has no answer some seconds after the deadline would not have waited for it.
            overloads.append(
                open_loop(
                    server.port,
                    requests,
                    OVERLOAD * capacities[-1],
                    run.seconds(SECONDS),
                    patience=1.5 * DEADLINE_SECONDS,
                )
            )
            capacities.append(capacity())
    around = [statistics.mean(pair) for pair in pairwise(capacities)]
    return {
        "capacity": statistics.median(capacities),
        "goodput_over_capacity": ratio([load.rate for load in overloads], around),
        **_facts(_together(overloads)),
    }


def _together(loads: Sequence[Load]) -> Load:
    """What came of all of them, for statuses and latencies; not for the rate."""
    samples = [sample for load in loads for sample in load.samples]
    busiest = max(load.client_cpu_share for load in loads)
    return Load(samples, loads[0].began, loads[-1].ended, busiest)


def _facts(load: Load) -> dict[str, Any]:
    refused = [sample.seconds for sample in load.samples if sample.status not in (0, 200)]
    in_time = [s for s in load.samples if s.status == 200 and s.seconds <= DEADLINE_SECONDS]
    return {
        "accepted_p50_seconds": load.latency(0.5),
        "accepted_p99_seconds": load.latency(0.99),
        "in_time_share_of_accepted": len(in_time) / max(1, load.statuses.get("200", 0)),
        "refused_p99_seconds": quantile(refused, 0.99),
        "statuses": load.statuses,
        "client_cpu_share": load.client_cpu_share,
    }


if __name__ == "__main__":
    main()
