"""`segserve`: a module a command."""

import signal
import sys
from collections.abc import Mapping, Sequence

from service.cli import keys, models, openapi, predict, serve
from service.cli.command import KILLED_BY, USAGE_ERROR, Command
from service.cluster.errors import ClusterError
from service.predict.errors import PredictError
from service.protocols.keys import KeyFileError
from service.protocols.problems import RequestError
from service.server.sockets import ListenError
from service.settings import SettingError

COMMANDS: Mapping[str, Command] = {
    "serve": serve,
    "predict": predict,
    "models": models,
    "keys": keys,
    "openapi": openapi,
}
COMMAND_FAULTS = (
    ClusterError,
    KeyFileError,
    ListenError,
    PredictError,
    RequestError,
    SettingError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit code is 0 if all went well, 1 if something failed, 2 if the command is wrong."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in COMMANDS:
        return _usage(arguments)
    try:
        return COMMANDS[arguments[0]].run(arguments[1:])
    except COMMAND_FAULTS as error:
        print(f"segserve {arguments[0]}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return KILLED_BY + signal.SIGINT


def _usage(arguments: Sequence[str]) -> int:
    asked = bool(arguments) and arguments[0] in ("-h", "--help")
    if arguments and not asked:
        print(f"segserve: there is no command {arguments[0]!r}.\n", file=sys.stderr)
    lines = [f"  {name:9} {command.HELP}" for name, command in COMMANDS.items()]
    usage = ["usage: segserve COMMAND …", "", *lines, "", "`segserve COMMAND --help` tells more."]
    print("\n".join(usage), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else USAGE_ERROR
