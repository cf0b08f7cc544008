"""What several commands of `segserve` need.

A command is a module with `HELP`, a line, and `run(arguments)`, which gives the exit code.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from service.settings import SettingError, Settings, read_settings, variable

SOMETHING_FAILED = 1
USAGE_ERROR = 2
KILLED_BY = 128  # and the number of the signal, as shells have it


class Command(Protocol):
    """One command of the program."""

    HELP: str

    def run(self, arguments: Sequence[str]) -> int:
        """Do it, and give the exit code. Raises one of the program's COMMAND_FAULTS."""
        ...


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-store",
        type=Path,
        help=f"folder of models (default: {variable('model_store')}, or else the bundled models)",
    )


def settings_for(store: Path | None) -> Settings:
    """The environment's settings with the store of the command on top. Raises SettingError."""
    settings = read_settings(["--model-store", str(store)] if store is not None else [])
    if not settings.model_store.is_dir():
        raise SettingError(
            f"there is no folder {settings.model_store}; name one with --model-store."
        )
    return settings
