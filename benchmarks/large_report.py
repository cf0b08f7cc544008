"""The section of docs/performance.md that says what a very large picture takes."""

from collections.abc import Mapping
from typing import Any

from benchmarks.tables import markdown

_FIGURES = {
    "seconds": "seconds",
    "cpu": "CPU time, s",
    "peak_megabytes": "most memory, MB",
    "peak_above_idle_megabytes": "the same above idle, MB",
}


def section(result: Mapping[str, Any]) -> str:
    """A table of every figure here and at each commit."""
    rows = [
        [f"`{commit[:7]}`", what, *_compared(figures[name])]
        for commit, figures in result["against"].items()
        for name, what in _FIGURES.items()
    ]
    head = ["commit", f"a JPEG of {result['megapixels']} MP", "now", "then", "now over then"]
    return markdown(head, rows)


def _compared(one: Mapping[str, Any]) -> list[str]:
    over = one["here_over_there"]
    return [
        f"{one['here']['median']:.4g}",
        f"{one['there']['median']:.4g}",
        f"{over['median']:.2f} ({over['least']:.2f} to {over['largest']:.2f})",
    ]
