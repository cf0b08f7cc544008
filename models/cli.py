"""`segtrain`: one module in `models/commands` a command."""

import argparse
import sys
import warnings
from collections.abc import Mapping
from importlib.metadata import version

from models.commands import adopt, calibrate, check, evaluate, export, networks, quantize, train
from models.commands.command import Command
from models.contract import UserError
from models.contract.command_line import sentence_of

COMMANDS: Mapping[str, Command] = {
    "check": check,
    "networks": networks,
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "quantize": quantize,
    "calibrate": calibrate,
    "adopt": adopt,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit code 0 when it did what was asked, 1 with a sentence where it could
    not."""
    parsed = _parser().parse_args(arguments)
    # Pillow's name no file; what is wrong with one is among what `check` finds.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        parsed.run_command(parsed)
    except UserError as error:
        print(f"segtrain: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"segtrain: {sentence_of(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nsegtrain: stopped; {parsed.when_stopped}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segtrain", description="From a folder of images and masks to a served model."
    )
    parser.add_argument("--version", action="version", version=f"segtrain {version('segserve')}")
    parser.set_defaults(when_stopped="nothing was written")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        of_command = commands.add_parser(name, help=command.HELP)
        of_command.set_defaults(run_command=command.run)
        command.add_arguments(of_command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
