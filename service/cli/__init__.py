"""`segserve`: a module a command."""

import gc
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit code is 0 if all went well, 1 if something failed, 2 if the command
    is wrong.
    """
    # Modules are many objects and no garbage; looking for some takes a fifth of the imports' time.
    gc.disable()
    from service.cli.commands import run_command

    gc.enable()
    return run_command(arguments)
