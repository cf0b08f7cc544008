"""Write docs/performance.md and its plots from benchmarks/results/. Not a benchmark itself.

    .venv/bin/python -m benchmarks.report

The words are in performance.template.md beside this file; every number comes from the results, and
whether a target is met is computed, so that text and numbers cannot part.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from benchmarks import (
    adopted_report,
    cameras_report,
    charts,
    large_report,
    maps_report,
    second_round,
)
from benchmarks.adopted_report import over_onnx_runtime as over_onnx
from benchmarks.measuring import RESULTS, ratio
from models.contract import read_contract

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "models" / "zoo"
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "images" / "performance"
TEMPLATE = Path(__file__).parent / "performance.template.md"
NOT_YET = "Not measured yet."

Result = dict[str, Any]


def page(results: Path = RESULTS) -> str:
    """The page as the results stand."""
    found = _read_all(results)
    fields = {
        name: make(found[name]) if name in found else NOT_YET for name, make in SECTIONS.items()
    }
    for name, (source, alternative, _) in PLOTTED.items():
        link = f"![{alternative}](images/performance/{name}.svg)"
        fields[f"{name}_plot"] = link if source in found else ""
    template = Template(TEMPLATE.read_text())
    return template.substitute(
        fields,
        targets=_targets(found),
        second_round=second_round.table(found),
        machine=_machine(found),
        int8=_int8_scores(),
    )


def plots(results: Path = RESULTS) -> dict[str, str]:
    """File name → SVG, for the results there are."""
    found = _read_all(results)
    return {
        f"{name}.svg": draw(found[source])
        for name, (source, _, draw) in PLOTTED.items()
        if source in found
    }


def _read_all(results: Path) -> dict[str, Result]:
    read = {file.stem: json.loads(file.read_text()) for file in sorted(results.glob("*.json"))}
    return {
        name: result for name, result in read.items() if "date" in result
    }  # others have pages of their own


def _int8_scores() -> str:
    """What the bundled int8 files score, as their contracts have it from `segtrain quantize`."""
    scores = []
    for path in sorted(ZOO.glob("*/*")):
        contract = read_contract(path)
        if contract.quantization is not None:
            int8, fp32 = contract.quantization.scores, contract.quantization.float_scores
            values = f"{int8['val']['mean_iou']:.4f} against {fp32['val']['mean_iou']:.4f}"
            scores.append(f"`{contract.name}` {values}")
    return f"Val mIoU of int8 against fp32: {', '.join(scores)}."


def machine_words(results: Path = RESULTS) -> str:
    return _machine(_read_all(results))


def _machine(found: Mapping[str, Result]) -> str:
    """Which machines, the one of most results first, and a warning where rounds were short."""
    if not found:
        return NOT_YET
    names: dict[str, list[str]] = {}
    for name, result in sorted(found.items(), key=lambda item: str(item[1]["date"])):
        names.setdefault(_words_of(result["machine"]), []).append(name)
    most, *others = sorted(names, key=lambda words: -len(names[words]))
    text = f"{most}."
    for words in others:
        text += f" Of {', '.join(f'`{name}`' for name in sorted(names[words]))}: {words}."
    quick = sorted(name for name, result in found.items() if result["quick"])
    if quick:
        text += (
            "\n\n**Of short rounds, on a busy machine, and to be measured again:** "
            f"{', '.join(quick)}."
        )
    return text


def _words_of(machine: Mapping[str, Any]) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"{machine['cores']} of {machine['cores_of_machine']} cores of {machine['cpu']}, "
        f"{machine['memory_gigabytes']:.0f} GB, Python {machine['python']}, {libraries}"
    )


def _targets(found: Mapping[str, Result]) -> str:
    rows = [
        (name, limit, *judge(found[source]))
        for name, limit, source, judge in TARGETS
        if source in found
    ]
    lines = [
        f"| {name} | {limit} | {value} | {'met' if met else '**missed**'} |"
        for name, limit, value, met in rows
    ]
    return "\n".join(["| target | limit | measured | |", "|---|---|---|---|", *lines])


def _spread(value: Mapping[str, float], digits: int = 2) -> str:
    return (
        f"{value['median']:.{digits}f} ({value['least']:.{digits}f}–{value['largest']:.{digits}f})"
    )


def _table(head: str, rows: list[str]) -> str:
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *rows])


# Targets: each gives the measured figure in words, and whether it is met.


def _http_at_saturation(result: Result) -> tuple[str, bool]:
    ratios = {
        name: max(by_concurrency.values(), key=_bare_rate)["http_over_bare"]
        for name, by_concurrency in result["engines"].items()
    }
    text = "; ".join(f"{name} {_spread(value)}" for name, value in ratios.items())
    return text, all(value["median"] >= 0.95 for value in ratios.values())


def _bare_rate(found: Result) -> float:
    rates: list[float] = [
        found["images_a_second"][way]["median"] for way in ("functions", "pipeline")
    ]
    return max(rates)


def _http_alone(result: Result) -> tuple[str, bool]:
    added = {name: found["1"]["added_p50_seconds"] for name, found in result["engines"].items()}
    text = "; ".join(f"{name} {1000 * value:+.1f} ms" for name, value in added.items())
    return text, all(value <= 0.003 for value in added.values())


def _same_engine(result: Result) -> tuple[str, bool]:
    value = result["servers"]["tensorflow"]["over_best_peer"]
    return f"{_spread(value)} of {result['best_peer']}", value["median"] >= 1.0


def _default_engine(result: Result) -> tuple[str, bool]:
    value = result["servers"]["default"]["over_best_peer"]
    engine = result["servers"]["default"].get("engine")
    text = f"{_spread(value)} of {result['best_peer']}"
    return f"{text}, with {engine}" if engine else text, value["median"] >= 2.0


def _equal_load(result: Result) -> tuple[str, bool]:
    def p99(name: str) -> float:
        value: float = result["servers"][name]["equal_load"]["p99_seconds"]["median"]
        return value

    text = ", ".join(
        f"{name} {1000 * p99(name):.0f} ms"
        for name in ("default", "tensorflow", result["best_peer"])
    )
    return text, max(p99("default"), p99("tensorflow")) <= p99(result["best_peer"])


def _best_peer(result: Result) -> tuple[str, bool]:
    value = result["servers"]["default"]["over_best_peer"]
    return f"{_spread(value)} of {result['best_peer']}", value["median"] >= 1.1


NO_TRITON = "Triton was not in that run"


def _over_triton(least: float) -> Callable[[Result], tuple[str, bool]]:
    def judge(result: Result) -> tuple[str, bool]:
        name = _triton(result)
        if name is None:
            return NO_TRITON, False
        ours, theirs = (
            result["servers"][one]["images_a_second"]["rounds"] for one in ("default", name)
        )
        value = ratio(ours, theirs)
        return f"{_spread(value)} of {name}", value["median"] >= least

    return judge


def _p99_beside_triton(result: Result) -> tuple[str, bool]:
    name = _triton(result)
    if name is None:
        return NO_TRITON, False
    ours, theirs = (
        result["servers"][one]["equal_load"]["p99_seconds"]["median"] for one in ("default", name)
    )
    return f"default {1000 * ours:.0f} ms, {name} {1000 * theirs:.0f} ms", ours < theirs


def _triton(result: Result) -> str | None:
    return next((name for name in result["servers"] if name.startswith("triton")), None)


def _other_protocols(result: Result) -> tuple[str, bool]:
    ratios = {name: result["over_native"][name] for name in ("v2, pixels binary", "gRPC, pixels")}
    text = "; ".join(f"{name} {_spread(value)}" for name, value in ratios.items())
    return text, min(value["median"] for value in ratios.values()) >= 0.97


def _goodput(result: Result) -> tuple[str, bool]:
    shares = {name: result["servers"][name]["goodput_over_capacity"] for name in OURS}
    text = "; ".join(f"{name} {_spread(value)}" for name, value in shares.items())
    return text, min(value["median"] for value in shares.values()) >= 0.9


def _bounded(result: Result) -> tuple[str, bool]:
    p99 = {name: result["servers"][name]["accepted_p99_seconds"] for name in OURS}
    text = "; ".join(f"{name} {value:.1f} s" for name, value in p99.items())
    return text, max(p99.values()) <= result["deadline_seconds"]


def _rest_refused(result: Result) -> tuple[str, bool]:
    statuses = {name: result["servers"][name]["statuses"] for name in OURS}
    text = "; ".join(f"{name} {_statuses(found)}" for name, found in statuses.items())
    return text, all(set(found) <= {"200", "429"} for found in statuses.values())


OURS = ("default", "tensorflow")
TARGETS: tuple[tuple[str, str, str, Callable[[Result], tuple[str, bool]]], ...] = (
    ("HTTP over the bare pipeline, at saturation", "≥ 0.95", "http_overhead", _http_at_saturation),
    ("Latency HTTP adds, one caller", "≤ 3 ms", "http_overhead", _http_alone),
    ("TensorFlow on both sides, over the best peer", "≥ 1.0", "peer_throughput", _same_engine),
    ("Default engine over the best peer", "≥ 2", "peer_throughput", _default_engine),
    ("p99 at equal load", "not above the best peer's", "peer_throughput", _equal_load),
    ("Default engine over Triton with TensorFlow", "≥ 2.5", "peer_throughput", _over_triton(2.5)),
    ("The same int8 file in both, over Triton", "≥ 1.15", "peer_int8", _over_triton(1.15)),
    ("The same int8 file in all, over the best peer", "≥ 1.1", "peer_int8", _best_peer),
    ("p99 at equal load, the same int8 file", "below Triton's", "peer_int8", _p99_beside_triton),
    ("An adopted Unet, over ONNX Runtime in FastAPI", "≥ 1.5", "adopted", over_onnx("fp32", 1.5)),
    ("The same in int8", "≥ 3", "adopted", over_onnx("int8", 3)),
    ("Other protocols over /segment", "≥ 0.97", "protocols", _other_protocols),
    (
        "Five sizes shuffled, default engine over the best peer",
        "≥ 2",
        "mixed_sizes",
        _default_engine,
    ),
    ("Goodput at twice the capacity, over capacity", "≥ 0.9", "overload", _goodput),
    ("p99 of what was accepted then", "≤ the deadline", "overload", _bounded),
    ("The rest refused with 429", "all", "overload", _rest_refused),
)  # fmt: skip


# Sections: the tables, by the result's name.


def _statuses(found: Mapping[str, int]) -> str:
    words = {"0": "without answer"}
    return ", ".join(f"{n:,} × {words.get(status, status)}" for status, n in sorted(found.items()))


def _http_overhead(result: Result) -> str:
    rows = [
        f"| {name} | {callers} | {_spread(found['images_a_second']['http'], 1)} "
        f"| {found['images_a_second']['functions']['median']:.1f} "
        f"| {found['images_a_second']['pipeline']['median']:.1f} "
        f"| {_spread(found['http_over_bare'])} | {1000 * found['added_p50_seconds']:+.1f} ms |"
        for name, by_concurrency in result["engines"].items()
        for callers, found in by_concurrency.items()
    ]
    head = (
        "| engine | callers | HTTP, images/s | functions by hand | pipeline | HTTP over the "
        "better | p50 over the better |"
    )
    return _table(head, rows)


def _tune_peers(result: Result) -> str:
    rows = []
    for name, peer in result["peers"].items():
        tried = sorted(peer["tried"], key=lambda one: -one["images_a_second"])
        texts = [
            f"{_settings(one['settings'])}: "
            + ("did not start" if "fault" in one else f"{one['images_a_second']:.1f}")
            for one in tried
        ]
        rows.append(f"| {name} | {'; '.join(texts)} |")
    return _table("| peer | settings tried, images/s, best first |", rows)


def _settings(settings: Mapping[str, str]) -> str:
    short = (
        f"{name.removeprefix('RAY_SERVE_').lower()} {value}" for name, value in settings.items()
    )
    return ", ".join(short)


def _peer_throughput(result: Result) -> str:
    servers = result["servers"].items()
    rows = [
        f"| {f'segserve, {name}' if name in result['ours'] else name} "
        f"| {_spread(one['images_a_second'], 1)} | {_spread(one['over_best_peer'])} "
        f"| {1000 * one['p50_seconds']:.0f} ms "
        f"| {1000 * one['equal_load']['p50_seconds']:.0f} / "
        f"{1000 * one['equal_load']['p99_seconds']['median']:.0f} ms | {one['ready_seconds']:.1f} "
        f"s | {one['memory_megabytes']:,.0f} MB |"
        for name, one in sorted(servers, key=lambda item: -item[1]["images_a_second"]["median"])
    ]
    head = (
        f"| server | images/s, {result['callers']} callers | over the best peer | p50 "
        f"| p50 / p99 at {result['equal_load_rate']:.1f} images/s | first answer after | memory |"
    )
    least = min(one["equal_pixels"] for _, one in servers if one["equal_pixels"] is not None)
    equal = f"At least {least:.4%} of the pixels had the same class as ours."
    share = max(one["client_cpu_share"] for _, one in servers)
    lost = sum(
        count
        for _, one in servers
        for found in one["equal_load"]["statuses"]
        for status, count in found.items()
        if status != "200"
    )
    unanswered = f" {lost} requests at equal load had no answer of status 200." if lost else ""
    return (
        f"{_table(head, rows)}\n\n{equal} The load generator took {share:.1%} of a core at "
        f"most.{unanswered}"
    )


def _protocols(result: Result) -> str:
    rows = [
        f"| {name} | {_spread(rate, 1)} | {_spread(result['over_native'][name])} "
        f"| {1000 * result['p99_seconds'][name]['median']:.0f} ms |"
        for name, rate in result["images_a_second"].items()
    ]
    head = f"| what is sent | images/s, {result['concurrency']} callers | over /segment | p99 |"
    return _table(head, rows)


def _mixed_sizes(result: Result) -> str:
    rows = [
        f"| {name} | {_spread(one['images_a_second'], 1)} | {_spread(one['over_best_peer'])} |"
        for name, one in result["servers"].items()
    ]
    head = f"| server | images/s, {result['callers']} callers | over {result['best_peer']} |"
    return f"{', '.join(result['sizes'])}.\n\n{_table(head, rows)}"


def _overload(result: Result) -> str:
    rows = [
        f"| {name} | {one['capacity']:.1f} | {_spread(one['goodput_over_capacity'])} "
        f"| {_seconds(one['accepted_p50_seconds'])} / {_seconds(one['accepted_p99_seconds'])} "
        f"| {one['in_time_share_of_accepted']:.0%} | {_statuses(one['statuses'])} |"
        for name, one in result["servers"].items()
    ]
    head = (
        "| server | capacity, images/s | goodput over it | p50 / p99 of the answered "
        f"| of them within {result['deadline_seconds']:.0f} s | answers |"
    )
    return _table(head, rows)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _stages(result: Result) -> str:
    sizes = list(result["alone"])
    rows = [
        f"| {stage} | " + " | ".join(_ms(result["alone"][size][stage]) for size in sizes) + " |"
        for stage in ("decode", "fit")
    ]
    rows += [
        f"| encode `{name}` | "
        + " | ".join(_ms(result["alone"][size]["encode"][name]) for size in sizes)
        + " |"
        for name in result["alone"][sizes[0]]["encode"]
    ]
    stages = _table(f"| stage alone | {' | '.join(sizes)} |", rows)
    by_batch = _engines("an image in a batch of", result["engine_seconds_by_batch"])
    by_side = _engines("one image of", result["engine_seconds_by_side"], unit="²")
    return f"{stages}\n\n{by_batch}\n\n{by_side}\n\n{_shares(result['share_of_a_request'])}"


def _engines(what: str, engines: Mapping[str, Mapping[str, float]], unit: str = "") -> str:
    columns = list(next(iter(engines.values())))
    rows = [
        f"| {name} | " + " | ".join(_ms(seconds[column]) for column in columns) + " |"
        for name, seconds in engines.items()
    ]
    return _table(
        f"| engine, {what} | {' | '.join(f'{column}{unit}' for column in columns)} |", rows
    )


def _shares(result: Result) -> str:
    rows = []
    for size, seconds in result["seconds"].items():
        total = seconds["total"]
        shares = [f"{value / total:.1%}" for stage, value in seconds.items() if stage != "total"]
        rows.append(f"| {size} | {_ms(total)} | {' | '.join(shares)} |")
    stages = [stage for stage in next(iter(result["seconds"].values())) if stage != "total"]
    return _table(f"| a request, {result['engine']} | in all | {' | '.join(stages)} |", rows)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.{1 if seconds >= 0.001 else 2}f} ms"


def _start(result: Result) -> str:
    rows = [
        f"| {name} ({one['engine']}) | {_spread(one['seconds'], 1)} s "
        f"| {one['idle_megabytes']['median']:,.0f} MB | {one['peak_megabytes']['median']:,.0f} MB |"
        for name, one in result["engines"].items()
    ]
    return _table("| engine | ready after | memory idle | at its highest under load |", rows)


def _growth(result: Result) -> str:
    pixels = [
        f"| {one['megapixels']:g} MP | {one['seconds']:.2f} s "
        f"| {one['seconds'] / one['megapixels']:.2f} s "
        f"| {one['peak_above_idle_megabytes']:,.0f} MB |"
        for one in result["pixels"]
    ]
    models = [
        f"| {one['models']} | {one['ready_seconds']:.1f} s | {one['idle_megabytes']:,.0f} MB "
        f"| {one['images_a_second']:.1f} | {one['p99_seconds']:.2f} s |"
        for one in result["models"]
    ]
    callers = [
        f"| {one['callers']} | {one['images_a_second']:.1f} | {one['p50_seconds']:.2f} s "
        f"| {one['p99_seconds']:.2f} s |"
        for one in result["callers"]
    ]
    return "\n\n".join(
        [
            _table("| one image of | seconds | a megapixel | memory above idle |", pixels),
            _table("| models | ready after | memory idle | images/s, 8 callers | p99 |", models),
            _table("| callers | images/s | p50 | p99 |", callers),
        ]
    )  # fmt: skip


def _limit(result: Result) -> str:
    peaks = [
        f"| {name} | {value / 1e9:,.0f} |"
        for name, value in result["peak_operations_a_second"].items()
    ]
    engines = [
        f"| {name} | {_ms(one['seconds'])} | {one['operations_a_second'] / 1e9:,.0f} "
        f"| {one['share_of_peak']:.0%} |"
        for name, one in result["engines"].items()
    ]
    counted = ", ".join(
        f"{value / 1e9:.2f} in {name}" for name, value in result["multiply_adds"].items()
    )
    operations = (
        f"One {result['image']} image takes {result['operations'] / 1e9:.2f}·10⁹ operations, two "
        f"for a multiply-add; 10⁹ multiply-adds: {counted}."
    )
    return "\n\n".join(
        [
            operations,
            _table("| what the CPU reaches | 10⁹ operations/s |", peaks),
            _table("| engine | an image | 10⁹ operations/s | share of the peak |", engines),
        ]
    )


def _memory(result: Result) -> str:
    rows = []
    for name, one in result["servers"].items():
        seen = one["resident_megabytes"]
        memory = (one["idle_megabytes"], seen[0], seen[len(seen) // 2 - 1], seen[-1])
        rows.append(
            f"| {name} ({one['engine']}) | {' | '.join(f'{value:,.0f} MB' for value in memory)} "
            f"| {one['growth_in_second_half_megabytes']:+.0f} MB |"
        )
    head = (
        f"| {result['requests']:,} requests of {result['sizes']} sizes in four formats | idle "
        "| early | half way | at the end | second half |"
    )
    return _table(head, rows)


def _hot_swap(result: Result) -> str:
    memory = ", ".join(f"{value:,.0f}" for value in result["resident_megabytes_after_each"])
    return (
        f"{result['swaps']} versions swapped in under load: {_statuses(result['statuses'])}. "
        f"Memory after each: {memory} MB."
    )


_LEAST_SHOWN_MS = 0.1
_ALTERNATED = {
    "rate": "images/s",
    "cpu": "CPU a request, ms",
    "event_loop_cpu": "of it the event loop's thread, ms",
}


def _alternate(result: Result) -> str:
    rows = [
        f"| `{commit[:7]}` | {size.replace('x', '×')} | {_ALTERNATED[figure]} "
        f"| {one['here']['median']:.4g} | {one['there']['median']:.4g} "
        f"| {_spread(one['here_over_there'])} |"
        for commit, sizes in result["against"].items()
        for size, figures in sizes.items()
        for figure, one in figures.items()
    ]
    head = f"| commit | pictures | {result['callers']} callers | now | then | now over then |"
    return _table(head, rows)


def _engine(result: Result) -> str:
    (commit, before), *_ = result["against"].items()
    kinds = list(dict.fromkeys([*before["profile"], *result["profile"]]))
    rows = [
        f"| {kind} | {before['profile'].get(kind, 0):.1f} | {result['profile'].get(kind, 0):.1f} |"
        for kind in kinds
        if max(before["profile"].get(kind, 0), result["profile"].get(kind, 0)) >= _LEAST_SHOWN_MS
    ]
    head = f"| kind of node | `{commit[:7]}`, ms | now, ms |"
    return _table(head, rows)


def _batch_norm(result: Result) -> str:
    seconds = {name: value["median"] for name, value in result["seconds_a_step"].items()}
    return (
        f"A training step with Keras' BatchNorm takes {_spread(result['keras_over_fused'])} times "
        f"one with ours ({seconds['keras']:.2f} against {seconds['fused']:.2f} s)."
    )


def _training_step(result: Result) -> str:
    seconds = {name: value["median"] for name, value in result["seconds_a_step"].items()}
    said = [
        f"one of `{name}` takes {_spread(gain)} times as long in float32 as in bfloat16 "
        f"({seconds[f'{name}, float32']:.2f} against {seconds[f'{name}, bfloat16']:.2f} s)"
        for name, gain in result["float32_over_bfloat16"].items()
    ]
    return (
        f"On this CPU, which multiplies bfloat16 in hardware, {'; '.join(said)}. With the encoder "
        f"of `street` in bfloat16 too it would be {_spread(result['float32_over_all_bfloat16'])}."
    )


def _xla(result: Result) -> str:
    seconds = {name: value["median"] for name, value in result["seconds"].items()}
    return (
        f"Compiled by XLA, TensorFlow takes {_spread(result['xla_over_plain'], 1)} times as long "
        f"for an image ({_ms(seconds['xla'])} against {_ms(seconds['plain'])}), and "
        f"{result['compile_seconds']:.1f} s to compile a shape. The engine runs without it."
    )


def _input_pipeline(result: Result) -> str:
    names = {
        "input_decoding": "the input alone, decoding for every view",
        "input_kept": "the input alone, images kept in memory",
        "model_alone": "training steps on one batch again and again",
        "model_with_decoding": "training steps fed by the input that decodes",
    }
    rows = [
        f"| {text} | {_spread(result['images_a_second'][name], 1)} | "
        f"{result['cores_busy'][name]['median']:.2f} |"
        for name, text in names.items()
    ]
    kept = result["with_input_over_model"]
    views = "×".join(map(str, result["crop"]))
    head = f"| images of 480×360, views of {views} | images/s | cores busy |"
    return (
        f"{_table(head, rows)}\n\n"
        f"Fed by the input, training reaches {_spread(kept)} of its rate on one batch."
    )


SECTIONS: dict[str, Callable[[Result], str]] = {
    "http_overhead": _http_overhead,
    "tune_peers": _tune_peers,
    "peer_throughput": _peer_throughput,
    "peer_int8": _peer_throughput,
    "protocols": _protocols,
    "mixed_sizes": _mixed_sizes,
    "alternate": _alternate,
    "engine": _engine,
    "overload": _overload,
    "stages": _stages,
    "start": _start,
    "growth": _growth,
    "limit": _limit,
    "xla": _xla,
    "soak": _memory,
    "hot_swap": _hot_swap,
    "cameras": cameras_report.section,
    "adopted": adopted_report.section,
    "maps": maps_report.section,
    "large": large_report.section,
    "batch_norm": _batch_norm,
    "input_pipeline": _input_pipeline,
    "training_step": _training_step,
}


def _plot_peers(result: Result) -> str:
    values = {
        f"segserve, {name}" if name in result["ours"] else name: _three(one["images_a_second"])
        for name, one in result["servers"].items()
    }
    return charts.bars("Masks from the same SavedModel", values, "images/s")


def _three(value: Mapping[str, float]) -> tuple[float, float, float]:
    return value["median"], value["least"], value["largest"]


def _plot_http(result: Result) -> str:
    series = {
        f"{name}, {way}": [
            (int(callers), max(found["images_a_second"][key]["median"] for key in keys))
            for callers, found in by_concurrency.items()
        ]
        for name, by_concurrency in result["engines"].items()
        for way, keys in (("HTTP", ("http",)), ("without", ("functions", "pipeline")))
    }
    return charts.lines("Through HTTP and without", series, "callers", "images/s")


def _plot_stages(result: Result) -> str:
    rows = {
        size: {stage: seconds for stage, seconds in stages.items() if stage != "total"}
        for size, stages in result["share_of_a_request"]["seconds"].items()
    }
    return charts.stacked(
        f"Where a request's time goes, {result['share_of_a_request']['engine']}", rows
    )


def _plot_pixels(result: Result) -> str:
    points = [(one["megapixels"], one["seconds"]) for one in result["pixels"]]
    return charts.lines("One image, alone", {"seconds": points}, "megapixels", "seconds")


# name → result, what a screen reader says, how it is drawn
PLOTTED: dict[str, tuple[str, str, Callable[[Result], str]]] = {
    "peers": ("peer_throughput", "Images a second of each server", _plot_peers),
    "http": ("http_overhead", "Images a second with HTTP and without, by callers", _plot_http),
    "stages": ("stages", "Share of each stage in a request, by size", _plot_stages),
    "pixels": ("growth", "Seconds of one image by its pixels", _plot_pixels),
}


def main() -> None:
    """Write the page and the plots."""
    PAGE.write_text(page())
    PLOTS.mkdir(parents=True, exist_ok=True)
    for name, svg in plots().items():
        (PLOTS / name).write_text(svg)


if __name__ == "__main__":
    main()
