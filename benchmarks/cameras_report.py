"""The section of docs/performance.md on the pictures that people have. Not a benchmark itself."""

from collections.abc import Mapping
from typing import Any

from benchmarks.tables import markdown


def section(result: Mapping[str, Any]) -> str:
    """The tables of benchmarks/cameras.py; one whose data were not there is said to be missing."""
    parts = [
        _frames(result["frames"]) if "frames" in result else _missing("CamVid"),
        _depths(result["depths"]) if "depths" in result else _missing("DSB2018"),
        _cost(result["cost"]),
    ]
    return "\n\n".join(parts)


def _missing(data_set: str) -> str:
    return f"Not measured: {data_set} was not there."


def _frames(rows: list[Mapping[str, Any]]) -> str:
    head = ["long side", "pictures", "mean IoU", "a picture", "JPEG"]
    return markdown(
        head,
        [
            [
                _frame(row),
                f"{row['pictures']}",
                f"{row['mean_iou']:.3f}",
                f"{row['seconds']:.2f} s",
                f"{row['megabytes']:.2f} MB",
            ]
            for row in rows
        ],
    )


def _frame(row: Mapping[str, Any]) -> str:
    notes = [f"`scale={row['scale']}`"] if row["scale"] != "auto" else []
    notes += ["a sensor's noise"] if row["noise"] else []
    return ", ".join((str(row["long_side"]), *notes))


def _depths(tables: Mapping[str, list[Mapping[str, Any]]]) -> str:
    kinds = list(tables)
    head = ["stored as"]
    for kind in kinds:
        head += [f"{kind} ({tables[kind][0]['pictures']}): nucleus IoU", "pixels as of 8 bits"]
    rows = []
    for together in zip(*tables.values(), strict=True):
        cells = [together[0]["stored"]]
        for row in together:
            cells += [f"{row['nucleus_iou']:.3f}", f"{row['equal_to_8_bits']:.1%}"]
        rows.append(cells)
    return markdown(head, rows)


def _cost(rows: list[Mapping[str, Any]]) -> str:
    head = ["a photograph of", "as", "file", "CPU", "answered in", "memory above idle"]
    return markdown(
        head,
        [
            [
                row["size"],
                row["type"],
                f"{row['megabytes']:.1f} MB",
                f"{1000 * row['cpu_seconds']:,.0f} ms",
                f"{1000 * row['seconds']:,.0f} ms",
                f"{row['peak_above_idle_megabytes']:,.0f} MB",
            ]
            for row in rows
        ],
    )
