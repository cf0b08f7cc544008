"""Question: does any other server give more masks a second from the same files?

    .venv/bin/python -m benchmarks.peer_throughput             (18 minutes, after tune_peers)
    .venv/bin/python -m benchmarks.peer_throughput int8        (5 minutes)

Twice: all from the SavedModel, and all from the OpenVINO int8 file beside it. The peers with their
best settings and segserve with each engine, all running and all but the one measured paused.
480×360 JPEG to PNG: first every answer is compared with ours, then 8 callers in turn for images a
second, then all at the same rate for p99.
"""

import contextlib
import io
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from benchmarks.load import Load, closed_loop, open_loop
from benchmarks.measuring import Run, alternate, begin, choice_of, ratio, summary
from benchmarks.pictures import photographs, source
from benchmarks.servers import INT8, Candidate, Running, engines, peer, running, segserve

CALLERS = 8
IMAGES = 16
ROUNDS = 4
SECONDS = 5.0
RAMP_SECONDS = 2.0
EQUAL_LOAD_ROUNDS = 3
EQUAL_LOAD_SECONDS = 15.0
SHARE_OF_BEST_PEER = 0.7
LEAST_EQUAL_PIXELS = 0.9999
TENSORFLOW = "tensorflow"
DEFAULT = "default"
SAVEDMODEL = "savedmodel"

T = TypeVar("T")


def main() -> None:
    """Measure, print, and keep the result."""
    groups = (SAVEDMODEL, INT8.strip())
    run = begin(__doc__, add_arguments=choice_of(groups))
    settings = best_settings(run.results)
    for name in run.given.names or groups:
        int8 = name != SAVEDMODEL
        those = {peer: own for peer, own in settings.items() if peer.endswith(INT8) == int8}
        flags = {DEFAULT: ()} if int8 else engines()
        result = _compare(run, flags, those, DEFAULT if int8 else TENSORFLOW)
        run.write("peer_int8" if int8 else "peer_throughput", result)


def _compare(
    run: Run,
    flags: Mapping[str, tuple[str, ...]],
    settings: Mapping[str, dict[str, str]],
    reference: str,
) -> dict[str, Any]:
    """Ours with each of `flags` and the peers with their `settings`. All give the class map of
    `reference`."""
    photos = photographs(IMAGES)
    # the peers have one model too
    ours = [segserve(name, "--models", "street", *own) for name, own in flags.items()]
    peers = [peer(name, own) for name, own in settings.items()]
    with all_running([*ours, *peers], photos[0]) as servers:
        engine_of = {
            one.name: measured(servers[one.name], servers[one.name].engine) for one in ours
        }
        equal = _equal_pixels(servers, [one.name for one in peers], photos, reference)
        loads = alternate(
            {name: partial(_closed, run, servers[name], photos) for name in servers},
            run.rounds(ROUNDS),
            "images a second",
        )
        rates = {name: [load.rate for load in rounds] for name, rounds in loads.items()}
        best = best_peer(rates, [one.name for one in peers])
        rate = SHARE_OF_BEST_PEER * statistics.median(rates[best])
        spread = alternate(
            {name: partial(_open, run, servers[name], photos, rate) for name in servers},
            run.rounds(EQUAL_LOAD_ROUNDS),
            f"{rate:.1f} images a second each",
        )
        facts = {
            name: {
                "engine": engine_of.get(name),
                "ready_seconds": server.ready_seconds,
                "memory_megabytes": server.proportional_bytes() / 1e6,
                "settings": settings.get(name, {}),
                "equal_pixels": equal.get(name),
                "images_a_second": summary(rates[name]),
                "over_best_peer": ratio(rates[name], rates[best]),
                "p50_seconds": _median_latency(loads[name], 0.5),
                "client_cpu_share": max(load.client_cpu_share for load in loads[name]),
                "equal_load": _equal_load(spread[name]),
            }
            for name, server in servers.items()
        }
    result = {"images": source(), "callers": CALLERS, "best_peer": best, "equal_load_rate": rate}
    return {**result, "ours": [one.name for one in ours], "servers": facts}


def best_settings(results: Path) -> dict[str, dict[str, str]]:
    """The peers' settings that tune_peers found best. A peer that does not run here is left out."""
    file = results / "tune_peers.json"
    if not file.exists():
        raise SystemExit(
            "run `python -m benchmarks.tune_peers` first: it finds the peers' settings"
        )
    peers = json.loads(file.read_text())["peers"]
    return {
        name: found["best"]
        for name, found in peers.items()
        if any(one["images_a_second"] for one in found["tried"])
    }


def best_peer(rates: Mapping[str, Sequence[float]], peers: Sequence[str]) -> str:
    return max(peers, key=lambda name: statistics.median(rates[name]))


@contextlib.contextmanager
def all_running(candidates: Sequence[Candidate], image: bytes) -> Iterator[dict[str, Running]]:
    """All of them started, one after the other, and paused: who is measured is resumed by
    `measured`."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for candidate in candidates:
            server = stack.enter_context(running(candidate, image))
            server.pause()
            servers[candidate.name] = server
        yield servers


def measured(server: Running, work: Callable[[], T]) -> T:
    """`work` while this server alone is not paused."""
    server.resume()
    try:
        return work()
    finally:
        server.pause()


def _closed(run: Run, server: Running, photos: list[bytes]) -> Load:
    requests = [server.candidate.request(photo) for photo in photos]
    seconds = run.seconds(SECONDS)
    return measured(
        server,
        lambda: closed_loop(server.port, requests, CALLERS, seconds, ramp_seconds=RAMP_SECONDS),
    )


def _open(run: Run, server: Running, photos: list[bytes], rate: float) -> Load:
    requests = [server.candidate.request(photo) for photo in photos]
    seconds = run.seconds(EQUAL_LOAD_SECONDS)
    return measured(server, lambda: open_loop(server.port, requests, rate, seconds))


def _equal_pixels(
    servers: Mapping[str, Running], peers: Sequence[str], photos: list[bytes], reference: str
) -> dict[str, float]:
    """Share of pixels whose class is that of our `reference`. Raises SystemExit where a peer's
    differ."""
    maps = {name: _class_maps(servers[name], photos) for name in (reference, *peers)}
    equal = {name: float(np.mean(maps[name] == maps[reference])) for name in peers}
    for name, share in equal.items():
        if share < LEAST_EQUAL_PIXELS:
            raise SystemExit(f"{name} gives another class at {1 - share:.3%} of the pixels")
    return equal


def _class_maps(server: Running, photos: list[bytes]) -> Any:
    answers = measured(server, lambda: [server.fetch(photo) for photo in photos])
    pictures = map(server.candidate.picture, answers)
    return np.stack([np.asarray(Image.open(io.BytesIO(picture))) for picture in pictures])


def _median_latency(loads: Sequence[Load], share: float) -> float:
    return statistics.median(load.latency(share) for load in loads)


def _equal_load(loads: Sequence[Load]) -> dict[str, Any]:
    return {
        "p50_seconds": _median_latency(loads, 0.5),
        "p99_seconds": summary([load.latency(0.99) for load in loads]),
        "statuses": [load.statuses for load in loads],
    }


if __name__ == "__main__":
    main()
