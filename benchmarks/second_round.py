"""The targets of the second round of speed, and what the results say of them. Not a benchmark
itself: `report.py` writes the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.alternate import BEFORE

BEGUN = "2026-11-28"  # what was measured earlier is what stands under "before"

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """`figure` reads it from the result `source`; None where that was measured without it."""

    what: str
    before: float | None
    must: float
    aim: float
    source: str
    figure: Callable[[Result], float | None]
    less_is_better: bool = True

    def is_met(self, value: float) -> bool:
        return value <= self.must if self.less_is_better else value >= self.must


def table(found: Mapping[str, Result]) -> str:
    rows = []
    for target in TARGETS:
        result = found.get(target.source)
        value = None if result is None else target.figure(result)
        sign = "≤" if target.less_is_better else "≥"
        now, met = "not measured", ""
        if result is not None and value is not None and result["date"] >= BEGUN:
            now = f"{value:.3g} ({result['date']})"
            met = "met" if target.is_met(value) else "**missed**"
        before = "–" if target.before is None else f"{target.before:g}"
        rows.append(
            f"| {target.what} | {before} | {now} | {sign} {target.must:g} "
            f"| {target.aim:g} | {met} |"
        )
    head = "| target | before | now (measured on) | must | aim | |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _against_before(result: Result) -> Result | None:
    """What was compared with the commit that the round began at."""
    against = result["against"].items()
    return next((one for commit, one in against if commit.startswith(BEFORE)), None)


def _engine(way: str) -> Callable[[Result], float | None]:
    def figure(result: Result) -> float | None:
        against = _against_before(result)
        return None if against is None else against[way]["here_over_there"]["median"]

    return figure


def _server(name: str) -> Callable[[Result], float | None]:
    def figure(result: Result) -> float | None:
        sizes = _against_before(result) or {}
        usual = sizes.get("480x360")
        return None if usual is None else usual[name]["here_over_there"]["median"]

    return figure


def _large(name: str) -> Callable[[Result], float | None]:
    def figure(result: Result) -> float | None:
        figures = _against_before(result)
        return None if figures is None else figures[name]["here_over_there"]["median"]

    return figure


def _over_best_peer(name: str) -> Callable[[Result], float | None]:
    def figure(result: Result) -> float | None:
        value: float = result["servers"][name]["over_best_peer"]["median"]
        return value

    return figure


def _http(result: Result) -> float | None:
    by_callers = result["engines"]["default"]

    def rate(one: Result) -> float:
        rates: list[float] = [
            one["images_a_second"][way]["median"] for way in ("functions", "pipeline")
        ]
        return max(rates)

    best = max(by_callers.values(), key=rate)
    value: float = best["http_over_bare"]["median"]
    return value


def _one_model(figure: str) -> Callable[[Result], float | None]:
    def read(result: Result) -> float | None:
        return next((one[figure] for one in result["models"] if one["models"] == 1), None)

    return read


TARGETS = (
    Target("engine, CPU of a picture, alone", 1, 0.74, 0.6, "engine", _engine("alone")),
    Target(
        "the same, two beside each other", 1, 0.74, 0.6, "engine", _engine("two beside each other")
    ),
    Target(
        "engine, bytes of memory a pixel", 180, 100, 80, "engine", lambda one: one["bytes_a_pixel"]
    ),
    Target("server, CPU a request, 8 callers", 1, 0.74, 0.6, "alternate", _server("cpu")),
    Target(
        "server, images/s, 8 callers",
        1,
        1.33,
        1.6,
        "alternate",
        _server("rate"),
        less_is_better=False,
    ),
    Target(
        "event loop's thread, CPU a request", 1, 0.65, 0.4, "alternate", _server("event_loop_cpu")
    ),
    Target(
        "default over the best peer with TensorFlow",
        2.03,
        2.7,
        3.3,
        "peer_throughput",
        _over_best_peer("default"),
        less_is_better=False,
    ),
    Target(
        "default over the best peer with the same int8 file",
        None,
        1.1,
        1.3,
        "peer_int8",
        _over_best_peer("default"),
        less_is_better=False,
    ),
    Target(
        "TensorFlow on both sides",
        0.94,
        1.0,
        1.1,
        "peer_throughput",
        _over_best_peer("tensorflow"),
        less_is_better=False,
    ),
    Target(
        "HTTP over the bare pipeline",
        0.88,
        0.92,
        0.96,
        "http_overhead",
        _http,
        less_is_better=False,
    ),
    Target(
        "five sizes shuffled over the best peer",
        1.97,
        2.5,
        3.1,
        "mixed_sizes",
        _over_best_peer("default"),
        less_is_better=False,
    ),
    Target(
        "share of the CPU's int8 peak, AMX off (before: not kept off)",
        0.41,
        0.55,
        0.65,
        "limit",
        lambda one: one["engines"]["openvino int8"]["share_of_peak"],
        less_is_better=False,
    ),
    Target("100 megapixels at their own scale, CPU time", 1, 0.43, 0.3, "large", _large("cpu")),
    Target("the same, peak memory", 1, 1.1, 1.0, "large", _large("peak_megabytes")),
    Target(
        "start to first answer, one model, s", 2.2, 1.6, 1.0, "growth", _one_model("ready_seconds")
    ),
    Target("memory idle, one model, MB", 413, 320, 250, "growth", _one_model("idle_megabytes")),
)
