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
INTERRUPTED = 130


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


def settings_for(store: Path | None, model: str | None) -> Settings:
    """The environment's settings with those of the command on top, for one model and without watching."""
    flags = ["--no-watch-models", "--no-lazy-loading"]
    if store is not None:
        flags += ["--model-store", str(store)]
    if model is not None:
        flags += ["--models", model]
    settings = read_settings(flags)
    if not settings.model_store.is_dir():
        raise SettingError(
            f"there is no folder {settings.model_store}; name one with --model-store."
        )
    return settings
