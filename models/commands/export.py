"""`segtrain export`: write a run's best model as an artefact to serve."""

import argparse
from pathlib import Path

from models.commands.command import DEFAULT_STORE, Commands, import_tensorflow


def add_command(commands: Commands) -> None:
    export = commands.add_parser("export", help="write a run's best model as an artefact to serve")
    export.set_defaults(run_command=_export)
    export.add_argument("run_folder", type=Path, metavar="RUN")
    export.add_argument(
        "--store", type=Path, default=DEFAULT_STORE, help="default: the bundled zoo"
    )
    export.add_argument("--version", type=int, help="default: one more than the newest")
    export.add_argument(
        "--openvino",
        action=argparse.BooleanOptionalAction,
        help="OpenVINO's fp32 files too (default: where openvino is installed and can convert the network)",
    )


def _export(parsed: argparse.Namespace) -> None:
    import_tensorflow()
    from models.export.run import export_run

    artefact = export_run(
        parsed.run_folder, parsed.store, parsed.version, with_openvino=parsed.openvino
    )
    print(
        f"{artefact}\nNext: segserve serve --model-store {parsed.store}, "
        f"or segtrain quantize {artefact} first: a CPU is faster in int8"
    )
