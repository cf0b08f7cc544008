"""Write the tables of README.md and docs/networks.md from benchmarks/results/. Not a benchmark
itself.

.venv/bin/python -m benchmarks.networks_report
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.tables import markdown, with_table
from models.architectures.table import NETWORKS, Upsampling

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
TABLES = {
    "networks": (ROOT / "README.md", "networks-matrix"),
    "every network": (ROOT / "docs" / "networks.md", "networks-table"),
    "SegNet's order": (ROOT / "docs" / "networks.md", "segnet-order"),
    "unet_mobile": (ROOT / "docs" / "networks.md", "unet-mobile-table"),
    "encoders": (ROOT / "docs" / "networks.md", "encoders-table"),
    "decoders": (ROOT / "docs" / "networks.md", "decoders-table"),
    "distillation": (ROOT / "docs" / "networks.md", "distillation-table"),
}
SEEDS = ("seed 1", "seed 2")
UPSAMPLINGS: tuple[Upsampling, ...] = (
    "transposed",
    "nearest",
    "bilinear",
    "bicubic",
    "bed_of_nails",
    "max_unpool",
)
# SegNet's table 1, test mIoU and boundary F1 in percent, and which of ours is built like it.
SEGNET_TABLE: tuple[tuple[str, float, float, str, Upsampling], ...] = (
    ("fixed bilinear", 43.3, 20.8, "segnet", "bilinear"),
    ("deconvolution, no skip", 44.1, 32.0, "segnet", "transposed"),
    ("deconvolution, score skips", 47.3, 38.1, "fcn8s", "transposed"),
    ("max-unpooling", 47.7, 35.8, "segnet", "max_unpool"),
    ("full skips", 50.1, 37.4, "unet", "max_unpool"),
)

Row = dict[str, float]


def matrix(networks: dict[str, Row]) -> str:
    """One row a network, one column an upsampling: val mIoU / boundary F1 in percent."""
    head = ["network", *(name.replace("_", " ") for name in UPSAMPLINGS), "parameters", "ms"]
    rows = [
        [
            f"`{name}`",
            *(_scores(networks, name, upsampling) for upsampling in UPSAMPLINGS),
            *_size(networks, name),
        ]
        for name in NETWORKS
    ]
    return markdown(head, rows)


def long_table(networks: dict[str, Row]) -> str:
    """One row a combination, the best mIoU first."""
    head = ["network", "upsampling", "val mIoU", "boundary F1", "parameters", "ms an image"]
    ranked = sorted(networks.items(), key=lambda item: -item[1]["val_mean_iou"])
    rows = [
        [
            f"`{title.split()[0]}`",
            f"`{title.split()[1]}`",
            f"{100 * row['val_mean_iou']:.1f}",
            f"{100 * row['val_boundary_f1']:.1f}",
            f"{row['parameters']:,}",
            f"{row['milliseconds']:.0f}",
        ]
        for title, row in ranked
    ]
    return markdown(head, rows)


def segnet_order(networks: dict[str, Row]) -> str:
    """SegNet's table 1 beside ours, in its order of mIoU."""
    head = ["SegNet's table 1", "its mIoU / F1", "ours", "mIoU / F1"]
    rows = [
        [text, f"{iou} / {f1}", f"`{name} {upsampling}`", _scores(networks, name, upsampling)]
        for text, iou, f1, name, upsampling in SEGNET_TABLE
    ]
    return markdown(head, rows)


def ideas_table(networks: dict[str, Row]) -> str:
    """The ablation of unet_mobile, in the order it was done."""
    head = ["decoder", "val mIoU", "boundary F1", "parameters", "ms an image"]
    rows = [
        [
            title,
            f"{100 * row['val_mean_iou']:.1f}",
            f"{100 * row['val_boundary_f1']:.1f}",
            f"{row['parameters']:,}",
            f"{row['milliseconds']:.0f}",
        ]
        for title, row in networks.items()
    ]
    return markdown(head, rows)


def encoders_table(networks: dict[str, Any]) -> str:
    """The encoders of `benchmarks/encoders.py`, both seeds of each."""
    head = ["encoder", "val mIoU", "boundary F1", "last training loss", "parameters", "int8 time"]
    rows = [
        [
            title,
            _both_seeds(row, "val_mean_iou"),
            _both_seeds(row, "val_boundary_f1"),
            " / ".join(f"{row[seed]['last_loss']:.2f}" for seed in SEEDS),
            f"{row['seed 1']['parameters']:,}",
            f"{row['int8_time']:.2f}",
        ]
        for title, row in networks.items()
    ]
    return markdown(head, rows)


def decoders_table(networks: dict[str, Any]) -> str:
    """The decoders and losses of `benchmarks/decoders.py`, both seeds of each."""
    head = ["one thing changed", "val mIoU", "boundary F1", "parameters", "int8 time"]
    rows = [[*_of_seeds(title, row), f"{row['int8_time']:.2f}"] for title, row in networks.items()]
    return markdown(head, rows)


def distillation_table(networks: dict[str, Any]) -> str:
    """The teacher and its pupils of `benchmarks/distillation.py`, both seeds of these."""
    head = ["network", "val mIoU", "boundary F1", "parameters"]
    return markdown(head, [_of_seeds(title, row) for title, row in networks.items()])


def _of_seeds(title: str, row: dict[str, Row]) -> list[str]:
    scores = [_both_seeds(row, score) for score in ("val_mean_iou", "val_boundary_f1")]
    return [title, *scores, f"{row['seed 1']['parameters']:,}"]


def _both_seeds(row: dict[str, Row], score: str) -> str:
    return " / ".join(f"{100 * row[seed][score]:.1f}" for seed in SEEDS if seed in row)


def tables() -> dict[tuple[Path, str], str]:
    """Every table by the page and the mark that it belongs to."""
    networks, ideas = _read("networks"), _read("unet_mobile")
    return {
        TABLES["networks"]: matrix(networks),
        TABLES["every network"]: long_table(networks),
        TABLES["SegNet's order"]: segnet_order(networks),
        TABLES["unet_mobile"]: ideas_table(ideas),
        TABLES["encoders"]: encoders_table(_read("encoders")),
        TABLES["decoders"]: decoders_table(_read("decoders")),
        TABLES["distillation"]: distillation_table(_read("distillation")),
    }


def _scores(networks: dict[str, Row], name: str, upsampling: Upsampling) -> str:
    row = networks.get(f"{name} {upsampling}")
    if row is None:
        return "–"
    return f"{100 * row['val_mean_iou']:.1f} / {100 * row['val_boundary_f1']:.1f}"


def _size(networks: dict[str, Row], name: str) -> tuple[str, str]:
    own = networks.get(f"{name} {NETWORKS[name].upsamplings[0]}")
    if own is None:
        return "–", "–"
    return f"{own['parameters'] / 1e6:.2f} M", f"{own['milliseconds']:.0f}"


def _read(name: str) -> dict[str, Row]:
    results: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    networks: dict[str, Row] = results["networks"]
    return networks


def main() -> None:
    """Write the tables into their pages."""
    for (path, mark), table in tables().items():
        path.write_text(with_table(path.read_text(), mark, table))


if __name__ == "__main__":
    main()
