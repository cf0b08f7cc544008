"""Write docs/performance.md from benchmarks/results/. Not a benchmark itself.

.venv/bin/python -m benchmarks.report
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.serving import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def page() -> str:
    """The page as the results stand."""
    large, soak, swap, norm = (
        _read(name) for name in ("large_image", "soak", "hot_swap", "batch_norm")
    )
    half = len(soak["resident_megabytes"]) // 2
    return f"""# What was measured

`make bench` repeats each benchmark and `python -m benchmarks.report` writes this page from `benchmarks/results/`. The machine was shared
with other work, so times are upper bounds; ratios and memory hold.

Machine: {large["machine"]["cores"]} cores of {large["machine"]["cpu"]}, Python {large["machine"]["python"]}; the bundled model `street` on
TensorFlow, fp32.

| question | figure | by |
|---|---|---|
| Memory of a {large["megapixels"]:.0f}-megapixel picture, above idle | {large["peak_above_idle_megabytes"]:,.0f} MB (idle {large["idle_megabytes"]:,.0f} MB) | `benchmarks/large_image.py` |
| Its time, through HTTP, JPEG to PNG | {large["seconds"]:.0f} s | |
| Tiled against untiled map, 1920×1440 | {large["tiled_equals_untiled_share_of_pixels"]:.4%} of pixels equal | |
| Memory over {soak["requests"]:,} requests of {soak["sizes"]} sizes in four formats | {soak["resident_megabytes"][0]:,.0f} MB early, {soak["resident_megabytes"][half]:,.0f} MB half way, {soak["resident_megabytes"][-1]:,.0f} MB at the end; {soak["growth_in_second_half_megabytes"]:+.0f} MB in the second half | `benchmarks/soak.py` |
| Requests a second meanwhile, 4 callers | {soak["requests_a_second"]:.1f} | |
| {swap["swaps"]} model versions swapped in under load | {swap["failed"]} of {swap["answered"] + swap["failed"]:,} requests failed | `benchmarks/hot_swap.py` |
| Memory after each swap | {", ".join(f"{value:,.0f}" for value in swap["resident_megabytes_after_each"])} MB | |
| A training step with Keras' BatchNorm over one with ours | {norm["keras_over_fused"]:.2f} ({norm["seconds_a_step"]["keras"]:.2f} against {norm["seconds_a_step"]["fused"]:.2f} s) | `benchmarks/batch_norm.py` |

A comparison with other servers is not among these yet.
"""


def _read(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
