"""Question: what does a picture of 100 megapixels take, against an earlier commit?

    .venv/bin/python -m benchmarks.large [COMMIT …]                                      (4 minutes)

The servers of the commits, each checked out from this repository's history, and this one answer
the same JPEG at its own scale, in turn: seconds, CPU time of all threads, and the most memory that
the process takes, and takes above what it had when idle. Where a CPU has AMX, set
ONEDNN_MAX_CPU_ISA=AVX512_CORE_FP16 for commits that do not do it themselves.
"""

import argparse
import contextlib
import time
from dataclasses import dataclass, replace
from functools import partial

import psutil

from benchmarks.alternate import BEFORE, HERE, checked_out, compared, full_name
from benchmarks.measuring import alternate, begin
from benchmarks.pictures import photographs, source
from benchmarks.servers import Candidate, Running, running, segserve

MEGAPIXELS, QUICK_MEGAPIXELS = 100, 12
ROUNDS = 3
TIMEOUT_SECONDS = 600.0
FLAGS = ("--request-timeout-seconds", "600", "--max-upload-bytes", "500000000")


@dataclass(frozen=True)
class Answered:
    """One answer: seconds, seconds of CPU, and megabytes of memory."""

    seconds: float
    cpu: float
    peak_megabytes: float
    peak_above_idle_megabytes: float


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__, add_arguments=_add_arguments)
    commits = [full_name(commit) for commit in run.given.commits]
    megapixels = QUICK_MEGAPIXELS if run.quick else MEGAPIXELS
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    photograph = photographs(1, (width, round(megapixels * 1e6 / width)))[0]
    small = photographs(1)[0]
    with contextlib.ExitStack() as stack:
        servers = {HERE: stack.enter_context(running(segserve(HERE, *FLAGS), small))}
        for commit in commits:
            candidate = _candidate(commit, stack)
            servers[commit] = stack.enter_context(running(candidate, small))
        idle = {name: server.resident_bytes() for name, server in servers.items()}
        for server in servers.values():
            server.pause()
        measured = alternate(
            {
                name: partial(answer_of, server, photograph, idle[name])
                for name, server in servers.items()
            },
            run.rounds(ROUNDS),
            f"{megapixels} megapixels",
        )
    run.write(
        "large",
        {
            "images": source(),
            "megapixels": megapixels,
            "here": full_name("HEAD"),
            "against": {commit: compared(measured, commit) for commit in commits},
        },
    )


def answer_of(server: Running, photograph: bytes, idle: int) -> Answered:
    server.resume()
    try:
        process = psutil.Process(server.process.pid)
        before, began = process.cpu_times(), time.perf_counter()
        with server.watching_memory() as seen:
            reply = server.fetch(photograph, TIMEOUT_SECONDS)
        seconds, after = time.perf_counter() - began, process.cpu_times()
    finally:
        server.pause()
    if reply.status != 200:
        raise SystemExit(f"{server.candidate.name} answered {reply.status}: {reply.body[:300]!r}")
    cpu = after.user + after.system - before.user - before.system
    return Answered(seconds, cpu, max(seen) / 1e6, (max(seen) - idle) / 1e6)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("commits", metavar="COMMIT", nargs="*", default=[BEFORE])


def _candidate(commit: str, stack: contextlib.ExitStack) -> Candidate:
    ours = segserve(commit, *FLAGS)
    checkout = stack.enter_context(checked_out(commit))
    environment = {**ours.environment, "PYTHONPATH": str(checkout)}
    # older servers know no `scale`, and take a picture at its own
    return replace(ours, path="/segment", environment=environment)


if __name__ == "__main__":
    main()
