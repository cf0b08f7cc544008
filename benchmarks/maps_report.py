"""The section of docs/performance.md that says what a map takes."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.tables import markdown

_RASTERS = {
    "street": "One gigapixel, a sixteenth of it picture",
    "dense": "The picture without the void",
}


def section(result: Mapping[str, Any]) -> str:
    """A table of the parts that were measured."""
    parts = result["parts"]
    rows = [_map(parts[name]) for name in ("street", "dense", "growth") if name in parts]
    pieces = list[str]()
    if rows:
        pieces.append(
            markdown(
                [
                    "raster",
                    "of it picture",
                    "seconds",
                    "MP/s",
                    "MP/s of picture",
                    "memory above idle",
                    "reading",
                    "writing",
                    "both",
                    "cores busy",
                ],
                rows,
            )
        )
    pieces += [_over_png(parts[name], what) for name, what in _RASTERS.items() if name in parts]
    if "growth" in parts and "street" in parts:
        grown = parts["growth"]["peak_megabytes_above_idle"]
        pieces.append(
            "Four gigapixels took "
            f"{grown / parts['street']['peak_megabytes_above_idle'] - 1:+.1%} of memory over one "
            "(must +10 %)."
        )
    if "polygons" in parts:
        one = parts["polygons"]
        pieces.append(
            f"{one['regions']:,} regions of {one['megapixels']:,.0f} megapixels became a "
            f"GeoPackage of {one['file_megabytes']:,.0f} MB in {one['seconds']:.1f} s, with "
            f"{one['peak_megabytes_above_map']:,.0f} MB beside the map (must 60 s, 1 GB)."
        )
    if "resume" in parts:
        one = parts["resume"]
        pieces.append(
            f"Killed with {one['rows_kept_of_the_killed_run']} rows of tiles done and resumed, the "
            f"map of {one['megapixels']:,.0f} megapixels "
            f"{'is' if one['equals_unbroken'] else 'IS NOT'} that of an unbroken run, byte by "
            f"byte; areas of known shapes are off by {max(one['area_errors']):.4%} at most "
            "(must 0.1 %)."
        )
    return "\n\n".join(pieces)


def _over_png(one: Mapping[str, Any], what: str) -> str:
    took = sorted(one["png_seconds_a_megapixel"])
    said = (
        f"{what}: {one['rate_over_png']:.2f} times the rate of a PNG of 10 megapixels right"
        f" after it ({took[0]:.3f} to {took[-1]:.3f} s a megapixel; must 1.0, aim 2.0)"
    )
    if one["picture_megapixels"] == one["megapixels"]:
        return f"{said}."
    return f"{said}, and {one['picture_rate_over_png']:.2f} times by the pixels that are no void."


def _share(of_runs: Sequence[float]) -> str:
    """The median of the runs, and from where to where they went."""
    median = f"{statistics.median(of_runs):.1%}"
    return median if len(of_runs) == 1 else f"{median} ({min(of_runs):.1%}–{max(of_runs):.1%})"


def _map(one: Mapping[str, Any]) -> list[str]:
    both = [sum(shares) for shares in zip(one["read_shares"], one["write_shares"], strict=True)]
    return [
        f"{one['megapixels']:,.0f} MP",
        f"{one['picture_megapixels']:,.0f} MP",
        f"{one['seconds']:.0f} s",
        f"{one['megapixels_a_second']:.1f}",
        f"{one['picture_megapixels_a_second']:.2f}",
        f"{one['peak_megabytes_above_idle']:,.0f} MB",
        *map(_share, (one["read_shares"], one["write_shares"], both)),
        f"{one['cores_busy']:.2f}",
    ]
