"""Question: with which of their settings are the other servers fastest here?

    .venv/bin/python -m benchmarks.tune_peers      (14 minutes, and 5 more at first: environments)
    .venv/bin/python -m benchmarks.tune_peers triton "triton int8"    (these alone; others stay)

Each peer with each of the settings its documentation names for such work, 8 callers, 480×360, the
median of three rounds on new connections: how callers are spread over several processes is chance.
The best of each goes into the comparisons. `THREADS` is the cores an inference uses; what else a
setting means is in the peer's own file. Those named `int8` run the artefact's OpenVINO file.
"""

import json
import statistics
from typing import Any

from tqdm import tqdm

from benchmarks.load import closed_loop
from benchmarks.measuring import CORES, Run, begin, choice_of
from benchmarks.pictures import photographs
from benchmarks.servers import NotStartedError, peer, running
from models.contract.cores import available_cores

CALLERS = 8
ROUNDS = 3
SECONDS = 3.0

Settings = dict[str, str]


def tried(cores: int) -> dict[str, list[Settings]]:
    """Settings a peer: one inference on all cores, an inference a core in threads or in processes,
    and what is its own.

    Left out is what cannot answer an image file with a PNG: MLServer's parallel workers and
    adaptive batching serve the V2 protocol alone (an image as base64 in JSON), and BentoML's
    batches answer with JSON lists.
    """
    whole, each = {"THREADS": str(cores)}, {"THREADS": "1"}
    high_throughput = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    in_threads, in_processes = {**each, "POOL": str(cores)}, {**each, "WORKERS": str(cores)}
    instances, more_instances = {"INSTANCES": str(cores)}, {"INSTANCES": str(2 * cores)}
    batched, pytriton = {"BATCH": "4", "WAIT_MS": "1"}, {"VIA": "pytriton"}
    fastapi = [
        whole,
        {**whole, "INFERENCES": "2"},
        {**each, "INFERENCES": str(cores)},
        {**each, "INFERENCES": str(2 * cores)},
    ]
    litserve = [
        whole,
        in_processes,
        {**in_processes, "FAST_QUEUE": "1"},
        {**whole, "BATCH": "4", "WAIT_MS": "5"},
        {**in_processes, "BATCH": "4", "WAIT_MS": "5"},
    ]
    triton = [
        {**each, **instances},
        {**each, **more_instances},
        {**each, **instances, **batched},
        {**each, **instances, **pytriton},
        {**each, **more_instances, **pytriton},
    ]
    streams = {"STREAMS": str(cores)}
    return {
        "fastapi_plain": fastapi,
        "litserve": litserve,
        "bentoml": [whole, in_threads, in_processes],
        "mlserver": [whole, in_threads],
        "ray_serve": [whole, in_threads, in_processes, {**in_threads, **high_throughput}],
        "triton": triton,
        # one process runs as many inferences at once as it has streams
        "fastapi_plain int8": [
            {**one, "STREAMS": one.get("INFERENCES", "1")} if one["THREADS"] == "1" else one
            for one in fastapi
        ],
        "litserve int8": litserve,
        "triton int8": [{**one, **streams} if "VIA" in one else one for one in triton],
    }


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__, add_arguments=choice_of(tuple(tried(CORES))))
    names = run.given.names
    file = run.results / "tune_peers.json"
    kept = json.loads(file.read_text())["peers"] if names and file.exists() else {}
    outcomes: dict[str, Any] = {}
    for name, settings in tqdm(tried(available_cores()).items(), unit="peer"):
        if names and name not in names:
            if name in kept:
                outcomes[name] = kept[name]
            continue
        rated = [
            {"settings": one, **_rate(run, name, one)}
            for one in settings[: 2 if run.quick else None]
        ]
        best = max(rated, key=lambda one: one["images_a_second"])
        outcomes[name] = {"best": best["settings"], "tried": rated}
    run.write("tune_peers", {"peers": outcomes})


def _rate(run: Run, name: str, settings: Settings) -> dict[str, Any]:
    """A setting with which the server does not start is slower than any other; why goes into the
    result."""
    photos = photographs(8)
    candidate = peer(name, settings)
    requests = [candidate.request(photo) for photo in photos]
    try:
        with running(candidate, photos[0]) as server:
            rates = [
                closed_loop(
                    server.port, requests, CALLERS, run.seconds(SECONDS), ramp_seconds=1.0
                ).rate
                for _ in range(run.rounds(ROUNDS))
            ]
            return {
                "images_a_second": statistics.median(rates),
                "rounds": rates,
                "ready_seconds": server.ready_seconds,
            }
    except NotStartedError as fault:
        return {"images_a_second": 0.0, "fault": str(fault)[-500:]}


if __name__ == "__main__":
    main()
