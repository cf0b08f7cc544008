"""`segtrain quantize`: an exported model with int8 files for OpenVINO."""

import argparse
from pathlib import Path

from models.commands.command import for_shell, import_tensorflow
from models.commands.evaluate import data_of_artefact
from models.commands.fields import add_recipe_flags, given_fields

HELP = "add int8 files, calibrated on train and checked on val"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artefact", type=Path, help="<store>/<name>/<version>")
    parser.add_argument("--data", type=Path, required=True, help="the dataset folder")
    parser.add_argument(
        "--images", type=_positive, default=300, help="images to calibrate with (default: 300)"
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        default=0.5,
        metavar="POINTS",
        help="write nothing where val mIoU falls by more, in points of 100 (default: 0.5)",
    )
    parser.add_argument(
        "--keep-float",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATTERN",
        help="leave layers whose name this regular expression finds in floating point; one that "
        "finds none lists them",
    )
    parser.add_argument(
        "--drop-fp32", action="store_true", help="leave OpenVINO's fp32 files out of the result"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="take the artefact's own place instead of the next version",
    )
    add_recipe_flags(
        parser.add_argument_group("data", "where the folder alone does not say it"),
        ("split", "layout"),
    )


def run(parsed: argparse.Namespace) -> None:
    """Write the artefact with int8 files and say what both score."""
    import_tensorflow()
    from models.data.examination import examine
    from models.export.quantize import QuantizeOptions, quantize

    dataset = data_of_artefact(parsed.artefact, parsed.data, given_fields(parsed))
    examine(dataset, ("val",)).raise_on_error()
    options = QuantizeOptions(
        images=parsed.images,
        max_drop_points=parsed.max_drop,
        keep_float=tuple(parsed.keep_float),
        keep_fp32=not parsed.drop_fp32,
    )
    done = quantize(parsed.artefact, dataset, options, replace=parsed.replace)
    print(
        f"{done.artefact}: val mIoU {done.float_scores.mean_iou:.4f} in fp32, "
        f"{done.int8_scores.mean_iou:.4f} in int8\n"
        f"Next: segserve serve --model-store {for_shell(done.artefact.parents[1])}"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number
