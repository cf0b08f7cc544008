"""Question: what does a plain request cost where pictures are kept, or a shadow runs beside it?

    .venv/bin/python -m benchmarks.loop_costs [COMMIT]                                 (3 minutes)

The same server with nothing of it, with a capture whose policies look at every picture and keep one
in ten, and with a shadow that is to see a tenth; and, where a commit is named, the server at that
commit. All answer CamVid's size to eight callers, in turn. Compared are images a second and the
CPU time of a request, to those of the server with nothing of it.
"""

import argparse
import contextlib
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.alternate import CALLERS, checked_out, full_name, measure_round
from benchmarks.measuring import alternate, begin, ratio, summary
from benchmarks.pictures import photographs, source
from benchmarks.servers import STREET, Candidate, running, segserve

IMAGES = 32
ROUNDS = 12
SECONDS = 2.0
PLAIN, BEFORE = "plain", "before"


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__, add_arguments=_add_arguments)
    commit = None if run.given.commit is None else full_name(run.given.commit)
    pictures = photographs(IMAGES, (480, 360))
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segserve-")))
        candidates = _candidates(work)
        if commit is not None:
            checkout = stack.enter_context(checked_out(commit))
            ours = segserve(BEFORE)
            environment = {**ours.environment, "PYTHONPATH": str(checkout)}
            candidates.append(replace(ours, environment=environment))
        servers = {one.name: stack.enter_context(running(one, pictures[0])) for one in candidates}
        for server in servers.values():
            server.pause()
        seconds = run.seconds(SECONDS)
        measured = alternate(
            {
                name: partial(measure_round, server, pictures, seconds)
                for name, server in servers.items()
            },
            run.rounds(ROUNDS),
        )
    rates = {name: [one.rate for one in rounds] for name, rounds in measured.items()}
    costs = {name: [one.cpu for one in rounds] for name, rounds in measured.items()}
    result = {
        "images": source(),
        "callers": CALLERS,
        "here": full_name("HEAD"),
        "before": commit,
        "servers": {
            name: {
                "rate": summary(rates[name]),
                "rate_over_plain": ratio(rates[name], rates[PLAIN]),
                "cpu_over_plain": ratio(costs[name], costs[PLAIN]),
            }
            for name in measured
        },
    }
    run.write("loop_costs", result)


def _candidates(work: Path) -> list[Candidate]:
    store = work / "store" / "street"
    for version in ("1", "2"):
        shutil.copytree(STREET, store / version)
    kept = ("--capture-folder", str(work / "kept"), "--capture-pause-seconds", "0")
    policies = ("--capture-policies", "every=10,confidence=0.1,atypical=100,rare=0.9")
    shadow = ("--models", "street/1", "--shadow", "street/2", "--shadow-share", "0.1")
    return [
        segserve(PLAIN),
        segserve("capture", *kept, *policies),
        segserve("shadow", *shadow, store=store.parent),
    ]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("commit", metavar="COMMIT", nargs="?")


if __name__ == "__main__":
    main()
