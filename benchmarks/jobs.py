"""Question: do small requests keep their latency beside a job?

    .venv/bin/python -m benchmarks.jobs                                                  (4 minutes)

One server of the bundled models does jobs, pictures of 64 megapixels in tiles, in its process for
them. JPEGs of 480 × 360 are asked for meanwhile, by one caller after the other's answer, and by
eight at once. In turn the jobs' process is let run and stopped by a signal, so that both see the
same machine. Compared are the quantiles of all rounds together, beside a job over alone.
"""

import io
import json
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psutil
from PIL import Image

from benchmarks.load import Load, closed_loop, fetch, get_request, request_of
from benchmarks.measuring import alternate, begin, quantile
from benchmarks.pictures import photographs, source
from benchmarks.servers import Running, running, segserve

LARGE = 8192, 8192
JOBS = 8
CALLERS = (1, 8)
ROUNDS = 8
SECONDS = 5.0
RAMP_SECONDS = 0.5
SHARES = {"p50": 0.5, "p99": 0.99}


@dataclass(frozen=True)
class Round:
    load: Load
    job_seconds: float


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    requests = [request_of(image, "/segment") for image in photographs(32)]
    with tempfile.TemporaryDirectory(prefix="segserve-jobs-") as folder:
        ours = segserve("jobs")
        candidate = replace(ours, environment={**ours.environment, "SEGSERVE_JOB_FOLDER": folder})
        with running(candidate, photographs(1)[0]) as server:
            large = request_of(_large(), "/jobs?scale=native")
            for _ in range(JOBS):
                fetch(server.port, large)
            worker = _worker(server)
            measured = {
                callers: alternate(
                    {
                        "alone": partial(_round, server, worker, requests, callers, run.seconds, 0),
                        "beside": partial(
                            _round, server, worker, requests, callers, run.seconds, 1
                        ),
                    },
                    run.rounds(ROUNDS),
                    f"{callers} callers",
                )
                for callers in CALLERS
            }
            left = json.loads(fetch(server.port, get_request("/jobs")).body)["jobs"]
    states = {job["state"] for job in left}
    if "running" not in states:
        raise SystemExit(f"no job was at work to the end: {states}")
    result = {
        "images": source(),
        "job": f"{LARGE[0]} × {LARGE[1]} pixels at their own scale",
        "callers": {str(callers): compared(rounds) for callers, rounds in measured.items()},
    }
    run.write("jobs", result)


def compared(rounds: dict[str, list[Round]]) -> dict[str, Any]:
    """Quantiles in seconds of all answers, and those beside a job over those alone."""
    found: dict[str, Any] = {}
    for name, share in SHARES.items():
        alone, beside = (
            quantile([one.seconds for each in rounds[kind] for one in each.load.samples], share)
            for kind in ("alone", "beside")
        )
        found[name] = {"alone": alone, "beside": beside, "beside_over_alone": beside / alone}
    seconds = sum(each.load.ended - each.load.began for each in rounds["beside"])
    found["job_cpu_share"] = sum(each.job_seconds for each in rounds["beside"]) / seconds
    found["answers"] = {kind: sum(len(e.load.samples) for e in rounds[kind]) for kind in rounds}
    return found


def _round(
    server: Running,
    worker: psutil.Process,
    requests: list[bytes],
    callers: int,
    seconds: Callable[[float], float],
    is_beside: int,
) -> Round:
    os.kill(worker.pid, signal.SIGCONT if is_beside else signal.SIGSTOP)
    closed_loop(server.port, requests, callers, RAMP_SECONDS)
    before = sum(worker.cpu_times()[:2])
    load = closed_loop(server.port, requests, callers, seconds(SECONDS))
    after = sum(worker.cpu_times()[:2])
    os.kill(worker.pid, signal.SIGCONT)
    if set(load.statuses) != {"200"}:
        raise SystemExit(f"the server answered {load.statuses}")
    return Round(load, after - before)


def _worker(server: Running) -> psutil.Process:
    """The process that does the jobs, once it is at one."""
    while True:
        jobs = json.loads(fetch(server.port, get_request("/jobs")).body)["jobs"]
        children = psutil.Process(server.process.pid).children()
        if children and any(job["state"] == "running" for job in jobs):
            worker = children[0]
            while sum(worker.cpu_times()[:2]) < 6.0:  # it has loaded, and is at a picture
                worker.cpu_percent(0.2)
            return worker


def _large() -> bytes:
    with Image.open(io.BytesIO(photographs(1, (960, 720))[0])) as image:
        buffer = io.BytesIO()
        image.resize(LARGE, Image.Resampling.BICUBIC).save(buffer, "jpeg", quality=85)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
