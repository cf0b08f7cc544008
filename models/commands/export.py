"""`segtrain export`: write a run's best model as an artefact to serve."""

import argparse
from pathlib import Path

from models.commands.command import DEFAULT_STORE, for_shell, import_tensorflow, scale_text
from models.export.format_options import read_formats

HELP = "write a run's best model as an artefact to serve"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_folder",
        type=Path,
        metavar="RUN",
        help="a run folder; or, with --format, an exported model to which the files are added as "
        "its next version",
    )
    parser.add_argument(
        "--store",
        type=Path,
        default=DEFAULT_STORE,
        help=f"folder that segserve serves (default: {DEFAULT_STORE})",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="where the data are, of a run of release 0.1 alone: later ones keep their classes",
    )
    parser.add_argument("--version", type=int, help="default: one more than the newest")
    parser.add_argument(
        "--scale",
        type=scale_text,
        help="in place of the one that the training found: native, longest=480, or 0.5µm",
    )
    parser.add_argument(
        "--format",
        type=read_formats,
        default=(),
        metavar="FORMAT,…",
        help="files of other runtimes too, each compared with the SavedModel: onnx, litert, "
        "openvino",
    )
    parser.add_argument(
        "--openvino",
        action=argparse.BooleanOptionalAction,
        help="OpenVINO's fp32 files too (default: where openvino is installed and can convert the "
        "network)",
    )


def run(parsed: argparse.Namespace) -> None:
    """Write the artefact and say what comes next."""
    import_tensorflow()
    from models.contract import CONTRACT_PATH

    if parsed.format and (parsed.run_folder / CONTRACT_PATH).is_file():
        from models.export.formats import add_formats

        print(add_formats(parsed.run_folder, parsed.format, parsed.version))
        return
    from models.export.run import export_run

    artefact = export_run(
        parsed.run_folder,
        parsed.store,
        parsed.version,
        data=parsed.data,
        with_openvino=parsed.openvino,
        scale=parsed.scale,
        formats=parsed.format,
    )
    print(
        f"{artefact}\nNext: segserve serve --model-store {for_shell(parsed.store)}, "
        f"or segtrain quantize {for_shell(artefact)} first: a CPU is faster in int8"
    )
