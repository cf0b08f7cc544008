"""Question: is this server as fast as it was at another commit?

    .venv/bin/python -m benchmarks.alternate [COMMIT …] [--sizes 480x360 32x32]          (4 minutes)

The servers of the commits, each checked out from this repository's history, and this one answer
JPEGs of a size to eight callers, in turn. Small pictures show what a request costs beside its
inference. Compared are images a second and the CPU time of a request: of all threads, and of the
event loop's alone. Without a commit it is the last one before the service was built anew.

All run on the libraries of this environment. Where a CPU has AMX, set
ONEDNN_MAX_CPU_ISA=AVX512_CORE_FP16 for commits that do not do it themselves.
"""

import argparse
import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import closed_loop, request_of
from benchmarks.measuring import alternate, begin, ratio, summary
from benchmarks.pictures import photographs, source
from benchmarks.servers import ROOT, Candidate, Running, running, segserve

BEFORE = "e889a6a"
SIZES = ("480x360", "32x32")
IMAGES = 32
CALLERS = 8
ROUNDS = 15
SECONDS = 2.0
RAMP_SECONDS = 0.5
HERE = "here"


@dataclass(frozen=True)
class Round:
    """What came of a load: images a second, and milliseconds of CPU that each took."""

    rate: float
    cpu: float
    event_loop_cpu: float


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__, add_arguments=_add_arguments)
    commits = [full_name(commit) for commit in run.given.commits]
    sizes = {size: photographs(IMAGES, _width_and_height(size)) for size in run.given.sizes}
    with contextlib.ExitStack() as stack:
        image = photographs(1)[0]
        servers = {HERE: stack.enter_context(running(_candidate(HERE, ROOT), image))}
        for commit in commits:
            folder = stack.enter_context(checked_out(commit))
            servers[commit] = stack.enter_context(running(_candidate(commit, folder), image))
        for server in servers.values():
            server.pause()
        measured = {
            name: alternate(
                {
                    commit: partial(measure_round, server, pictures, run.seconds(SECONDS))
                    for commit, server in servers.items()
                },
                run.rounds(ROUNDS),
                name,
            )
            for name, pictures in sizes.items()
        }
    result = {
        "images": source(),
        "callers": CALLERS,
        "here": full_name("HEAD"),
        "against": {
            commit: {size: compared(rounds, commit) for size, rounds in measured.items()}
            for commit in commits
        },
    }
    run.write("alternate", result)


def compared(rounds: Mapping[str, Sequence[Any]], commit: str) -> dict[str, Any]:
    """Each figure of the rounds, which are of one dataclass, here and at `commit`, and the first
    over the second, round by round.
    """
    found = {}
    for figure in fields(rounds[HERE][0]):
        here, there = (
            [getattr(one, figure.name) for one in rounds[name]] for name in (HERE, commit)
        )
        found[figure.name] = {
            "here": summary(here),
            "there": summary(there),
            "here_over_there": ratio(here, there),
        }
    return found


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("commits", metavar="COMMIT", nargs="*", default=[BEFORE])
    parser.add_argument(
        "--sizes", metavar="WxH", nargs="+", default=SIZES, help="of the pictures (default: both)"
    )


def _width_and_height(size: str) -> tuple[int, int]:
    width, height = size.split("x")
    return int(width), int(height)


def full_name(commit: str) -> str:
    return _git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()


def _git(*arguments: str) -> bytes:
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode(errors="replace").strip() or error
        raise SystemExit(
            f"git {' '.join(arguments)} failed: {said} "
            "This benchmark needs git, and the repository with its history."
        ) from None


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The files of a commit, bundled models and all, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="segserve-") as folder:
        archive = _git("archive", commit)
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def _candidate(name: str, checkout: Path) -> Candidate:
    ours = segserve(name)
    environment = {**ours.environment, "PYTHONPATH": str(checkout)}
    # no `scale`, which older servers do not know: these pictures are not shrunk anyway
    return replace(ours, path="/segment", environment=environment)


def measure_round(server: Running, pictures: list[bytes], seconds: float) -> Round:
    requests = [request_of(picture, server.candidate.path) for picture in pictures]
    server.resume()
    try:
        closed_loop(server.port, requests, CALLERS, RAMP_SECONDS)
        process = psutil.Process(server.process.pid)
        cpu, event_loop_cpu = _cpu_seconds(process)
        load = closed_loop(server.port, requests, CALLERS, seconds)
        cpu_after, event_loop_after = _cpu_seconds(process)
    finally:
        server.pause()
    if set(load.statuses) != {"200"}:
        raise SystemExit(f"{server.candidate.name} answered {load.statuses}")
    answers = len(load.samples) / 1000
    return Round(
        load.rate, (cpu_after - cpu) / answers, (event_loop_after - event_loop_cpu) / answers
    )


def _cpu_seconds(process: psutil.Process) -> tuple[float, float]:
    """Of all threads, and of the main one, on which the event loop runs."""
    times = process.cpu_times()
    main = next(thread for thread in process.threads() if thread.id == process.pid)
    return times.user + times.system, main.user_time + main.system_time


if __name__ == "__main__":
    main()
