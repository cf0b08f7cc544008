"""What benchmarks/label_next.py found, as the table and the chart of docs/loop.md.

.venv/bin/python -m benchmarks.label_next_report
"""

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks import charts
from models.contract import atomic

RESULTS = Path(__file__).parent / "results" / "label_next.json"
CHART = Path(__file__).parents[1] / "docs" / "images" / "loop" / "label_next.svg"
ARMS = ("first", "ranked", "random")

Results = dict[str, dict[str, dict[str, dict[str, Any]]]]


def table(results: Results) -> str:
    """The means over the seeds, and what the ranking gains in each."""
    lines = [
        "| data | labeled images | test mIoU, ranked | drawn at random | gain, seed by seed |",
        "|---|---:|---:|---:|---|",
    ]
    for name, seeds in results.items():
        whole = _whole(seeds)
        if whole:
            first, ranked, drawn = (_mean(whole, arm) for arm in ARMS)
            gains = ", ".join(f"{a['ranked']['miou'] - a['random']['miou']:+.3f}" for a in whole)
            few, more = whole[0]["first"]["images"], whole[0]["ranked"]["images"]
            lines.append(f"| {name} | {few} | – | {first:.3f} | – |")
            lines.append(f"| {name} | {more} | {ranked:.3f} | {drawn:.3f} | {gains} |")
    return "\n".join(lines)


def chart(results: Results) -> str:
    """An SVG: mIoU over labeled images, for each data set and way of choosing."""
    series = {}
    for name, seeds in results.items():
        whole = _whole(seeds)
        for arm in ARMS[1:] if whole else ():
            ends = ("first", arm)
            series[f"{name}, {arm}"] = [
                (float(whole[0][end]["images"]), _mean(whole, end)) for end in ends
            ]
    return charts.lines("Labels chosen and drawn", series, "labeled images", "test mIoU")


def write(results: Results) -> None:
    """Print the table, and draw the chart."""
    print(table(results))
    atomic.write_text(CHART, chart(results))


def _whole(seeds: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, dict[str, Any]]]:
    """The seeds of which every way was trained."""
    return [arms for arms in seeds.values() if all(arm in arms for arm in ARMS)]


def _mean(whole: list[dict[str, dict[str, Any]]], arm: str) -> float:
    return float(statistics.mean(arms[arm]["miou"] for arms in whole))


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text()))
