"""`segserve cvat`: the function that CVAT's command line labels a task with."""

import argparse
import sys
from pathlib import Path

from service import cvat_function

HELP = "write the function that CVAT's cvat-cli labels a task with"
DESCRIPTION = (
    "Write the file that `cvat-cli task auto-annotate --function-file` takes. It asks a running "
    "segserve over HTTP, and needs nothing but cvat-cli."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, help="the file (default: standard output)", metavar="FILE"
    )


def run(parsed: argparse.Namespace) -> int:
    source = Path(cvat_function.__file__).read_text(encoding="utf-8")
    if parsed.output is None:
        sys.stdout.write(source)
    else:
        parsed.output.write_text(source, encoding="utf-8")
    return 0
