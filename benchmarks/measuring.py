"""How every benchmark measures: pinned cores, alternating rounds, medians, results written with the
machine. Not a benchmark itself."""

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import platform
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from models.contract import atomic
from models.contract.cores import available_cores

RESULTS = Path(__file__).parent / "results"
CORES = 2
LIBRARIES = ("tensorflow-cpu", "openvino", "numpy", "pillow", "uvicorn")

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """How long to measure, and where the result goes; `given` is the command line."""

    quick: bool = False
    results: Path = RESULTS
    given: argparse.Namespace = field(default_factory=argparse.Namespace)

    def rounds(self, full: int) -> int:
        return 2 if self.quick else full

    def seconds(self, full: float) -> float:
        return min(full, 1.5) if self.quick else full

    def write(self, name: str, result: Mapping[str, Any]) -> None:
        """Print the result with the machine it was got on, and keep it, whole or not at all."""
        record = {
            **result,
            "quick": self.quick,
            "machine": describe_machine(),
            "date": time.strftime("%Y-%m-%d"),
        }
        text = json.dumps(_rounded(record), indent=1) + "\n"
        self.results.mkdir(parents=True, exist_ok=True)
        atomic.write_text(self.results / f"{name}.json", text)
        print(text)


def begin(
    description: str | None,
    arguments: Sequence[str] | None = None,
    add_arguments: Callable[[argparse.ArgumentParser], object] = lambda _: None,
) -> Run:
    """Read the command line every benchmark has, and pin this process and all it will start.

    `add_arguments` adds what one benchmark has besides.

    From here on SIGTERM ends it as Ctrl+C does, so that no server is left behind.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="two short rounds, to see that everything runs"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the result")
    parser.add_argument(
        "--cores", type=int, default=CORES, help=f"cores that all of it shares (default: {CORES})"
    )
    add_arguments(parser)
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    return Run(given.quick, given.results, given)


def choice_of(names: Sequence[str]) -> Callable[[argparse.ArgumentParser], object]:
    """Lets the command line choose some of `names`, as `given.names`; none of them are all."""

    def add(parser: argparse.ArgumentParser) -> None:
        help_text = f"{', '.join(names)} (all if left out)"
        parser.add_argument(
            "names", nargs="*", metavar="NAME", choices=[*names, []], help=help_text
        )

    return add


def alternate(
    candidates: Mapping[str, Callable[[], T]], rounds: int, what: str = ""
) -> dict[str, list[T]]:
    """Run the candidates in turn, A B C A B C …, so that what the machine does besides hits all
    alike."""
    outcomes: dict[str, list[T]] = {name: [] for name in candidates}
    with tqdm(total=rounds * len(candidates), desc=what, unit="round", disable=None) as bar:
        for _ in range(rounds):
            for name, measure in candidates.items():
                outcomes[name].append(measure())
                bar.update()
    return outcomes


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that `share` of the values do not exceed (nearest rank); nan of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Median, least and largest of the rounds, and the rounds themselves."""
    return {
        "median": statistics.median(values),
        "least": min(values),
        "largest": max(values),
        "rounds": list(values),
    }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Ours over theirs, round by round: neighbours in time have met the same machine."""
    return summary([one / other for one, other in zip(ours, theirs, strict=True)])


def seconds_of(
    work: Callable[[], object],
    least_seconds: float,
    pick: Callable[[Sequence[float]], float] = statistics.median,
) -> float:
    """Seconds of one call, the median of three or more, after one that does not count."""
    work()
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < least_seconds:
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return pick(taken)


def describe_machine() -> dict[str, Any]:
    """What a figure depends on besides the code."""
    return {
        "cores": available_cores(),
        "cores_of_machine": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gigabytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg()[1],
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
    }


def _cpu() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor()


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _rounded(value: Any) -> Any:
    """Five significant digits: more is noise, and makes a result hard to read and to compare. JSON
    has no nan."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
