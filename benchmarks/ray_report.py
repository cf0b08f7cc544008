"""Put the figures of benchmarks/results/ray_scaling.json into docs/scale.md. Not a benchmark
itself.

.venv/bin/python -m benchmarks.ray_report
"""

import json
import math
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
RESULT = Path(__file__).parent / "results" / "ray_scaling.json"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"

# What a core may be busy for the answers to stay quick, and what a bulk run, where nobody waits,
# can do.
BUSY, BULK_BUSY = 0.7, 0.9
NODE_CORES = 16
RATES = (10, 1_000, 100_000)
BULK_IMAGES = 10**9
BULK_CORES = 1_024
KEYS_A_LISTING = 1_000
LISTING_SECONDS = 0.1


def page() -> str:
    """docs/scale.md as the results stand: its text is written by hand, its figures are these."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + figures(json.loads(RESULT.read_text())) + END + after


def figures(result: dict[str, Any]) -> str:
    return "\n".join([measured(result), on_paper(result), in_bulk(result)])


def measured(result: dict[str, Any]) -> str:
    machine, (width, height) = result["machine"], result["photo"]
    added = "\n".join(
        f"| {name} | {ms['plain']:.0f} ms | {ms['ray']:.0f} ms | "
        f"{ms['plain_besides_the_engine']:.0f} ms | {ms['ray_besides_the_engine']:.0f} ms |"
        for name, ms in result["added_milliseconds"].items()
    )
    cpu, resident = result["cpu_milliseconds"], result["resident_megabytes"]
    costs = "\n".join(
        f"| {what} | {cpu[kind]:.0f} ms | "
        f"{f'{resident[kind]:,.0f} MB' if kind in resident else '–'} |"
        for kind, what in (
            ("plain", "the plain server, all of it"),
            ("proxy", "Ray's proxy"),
            ("http", "HTTP replica: decode, encode"),
            ("engine", "engine replica: the model"),
        )
    )
    scaling = "\n".join(
        f"| {row['engines']} | {row['images_a_second']:.2f} | {row['efficiency']:.1%} |"
        for row in result["scaling"]
    )
    return f"""\
Measured by `python -m benchmarks.ray_scaling` on {machine["cores"]} cores that other work shared \
(load average {machine["load_average"]:.0f}), Ray
{machine["ray"]}, three Ray nodes on the one machine. Times are upper bounds on such a machine; \
CPU time is not touched by the others.

**What Ray adds to one request alone** (medians, the two servers in turn). Beside the engine is \
what is not the model's own time:

| image | plain | Ray | plain, beside the engine | Ray, beside the engine |
|---|---|---|---|---|
{added}

**What one {width} × {height} photograph costs**, JPEG to PNG by `street` on {result["engine"]}:

| process | CPU time | memory |
|---|---|---|
{costs}

**How the rate grows**: an engine that takes {result["engine_seconds"]:.0f} s an image and no \
CPU, callers in a closed loop, everything else as it is:

| engine replicas | images a second | efficiency |
|---|---|---|
{scaling}
"""


def on_paper(result: dict[str, Any]) -> str:
    cpu, resident, (width, height) = (
        result["cpu_milliseconds"],
        result["resident_megabytes"],
        result["photo"],
    )
    crossing = width * height * 4 / 1e6
    rows = []
    for rate in RATES:
        cores = {kind: rate * cpu[kind] / 1000 / BUSY for kind in ("proxy", "http", "engine")}
        http, engine = math.ceil(cores["http"]), math.ceil(cores["engine"])
        memory = (
            math.ceil(cores["proxy"]) * resident["proxy"]
            + http * resident["http"]
            + engine * resident["engine"]
        ) / 1e3
        nodes = max(math.ceil(sum(cores.values()) / NODE_CORES), math.ceil(cores["proxy"]))
        rows.append(
            f"| {rate:,} | {math.ceil(cores['proxy']):,} | {http:,} | {engine:,} | "
            f"{sum(cores.values()):,.0f} | {nodes:,} | {memory:,.0f} GB | "
            f"{rate * crossing * 8 / 1e3:,.2f} Gbit/s |"
        )
    proxy_rate = BUSY * 1000 / cpu["proxy"]
    return f"""\
**On paper, from these costs**: replicas of one core each, busy {BUSY:.0%} of the time, nodes of \
{NODE_CORES} cores with one proxy each, and {crossing:.2f} MB
that cross the network for each image (the picture to the engine, 3 bytes a pixel, and its map \
back, 1):

| masks a second | proxies | HTTP replicas | engine replicas | cores | nodes | memory | network \
in all |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

One proxy is one process and takes {proxy_rate:.0f} requests a second at that load.
"""


def in_bulk(result: dict[str, Any]) -> str:
    milliseconds = result["cpu_milliseconds"]["plain"]
    core_hours = BULK_IMAGES * milliseconds / 1000 / 3600
    hours = core_hours / BULK_CORES / BULK_BUSY
    listing = BULK_IMAGES / KEYS_A_LISTING * LISTING_SECONDS / 3600
    rate = BULK_IMAGES / hours / 3600
    photo_bytes = result["photo_bytes"]
    return f"""\
**A bulk run of 10⁹ images**, {milliseconds:.0f} ms of CPU each: {core_hours:,.0f} core hours; on \
{BULK_CORES:,} cores at {BULK_BUSY:.0%} {hours:.0f} hours, {rate:,.0f} images a second,
{rate * photo_bytes * 8 / 1e9:.1f} Gbit/s out of the store ({photo_bytes / 1e3:.0f} kB a \
photograph, {BULK_IMAGES * photo_bytes / 1e12:.0f} TB). The driver lists the folders first: \
{BULK_IMAGES // KEYS_A_LISTING:,} requests of
{KEYS_A_LISTING:,} names, which at {LISTING_SECONDS * 1000:.0f} ms each is {listing:.0f} hours \
one after another; going on after a stop it holds 8 bytes an image, {BULK_IMAGES * 8 / 1e9:.0f} GB.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
