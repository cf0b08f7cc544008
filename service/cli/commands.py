"""The commands of `segserve`, by name. Each is imported when it is asked for: a fifth of what a
server imports otherwise, it never uses.
"""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import cast

from models.contract.command_line import CommandParser, sentence_of
from models.contract.errors import UserError
from service.cli.command import KILLED_BY, SOMETHING_FAILED, USAGE_ERROR, Command

COMMANDS = ("serve", "predict", "rank", "compare", "models", "keys", "openapi", "cvat")


def command_named(name: str) -> Command:
    """The module of one of `COMMANDS`."""
    return cast(Command, import_module(f"service.cli.{name}"))


def run_command(arguments: Sequence[str] | None) -> int:
    """As `main` says."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in COMMANDS:
        return _without_command(arguments)
    name, *flags = arguments
    command = command_named(name)
    parser = CommandParser(f"segserve {name}", command.DESCRIPTION)
    command.add_arguments(parser)
    try:
        return command.run(parser.parse_args(flags))
    except UserError as error:
        print(f"segserve {name}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except OSError as error:
        print(f"segserve {name}: {sentence_of(error)}", file=sys.stderr)
        return SOMETHING_FAILED
    except KeyboardInterrupt:
        print(f"\nsegserve {name}: stopped (SIGINT) before it was done.", file=sys.stderr)
        return KILLED_BY + signal.SIGINT


def _without_command(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--version"]:
        print(f"segserve {version('segserve')}")
        return 0
    asked = bool(arguments) and arguments[0] in ("-h", "--help")
    if arguments and not asked:
        print(f"segserve: there is no command {arguments[0]!r}.\n", file=sys.stderr)
    lines = [f"  {name:9} {command_named(name).HELP}" for name in COMMANDS]
    usage = [
        "usage: segserve COMMAND …",
        "",
        *lines,
        "",
        "`segserve COMMAND --help` tells more, `segserve --version` which one this is.",
    ]
    print("\n".join(usage), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else USAGE_ERROR
