"""What the two programs' command lines share."""

import argparse
import difflib
import re
from typing import NoReturn

from models.contract.errors import UserError


class UsageError(UserError):
    """A command that cannot be understood. The text says which part, and where the flags are
    listed."""


class CommandParser(argparse.ArgumentParser):
    """Reads a command's flags, none of them shortened. Raises UsageError in place of ending the
    program."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}{self._suggestion(message)}; see `{self.prog} --help`")

    def _suggestion(self, message: str) -> str:
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        known = [flag for action in self._actions for flag in action.option_strings]
        close = difflib.get_close_matches(unknown[1], known, n=1) if unknown else []
        return f"; did you mean {close[0]}?" if close else ""


def sentence_of(error: OSError) -> str:
    """What the system says, without its number."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
