"""What a command of `segserve` is, and what several of them need."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Protocol

from service.setting_flags import read_settings
from service.settings import SettingError, Settings, variable
from service.threads import unfinished_threads

SOMETHING_FAILED = 1
USAGE_ERROR = 2
KILLED_BY = 128  # and the number of the signal, as shells have it


# What threads that have nothing to do any more may take to end.
END_SECONDS = 0.5

log = logging.getLogger(__name__)


class Command(Protocol):
    """A module of this folder. `HELP` is its line in the list of commands, `DESCRIPTION` begins its
    own help.
    """

    HELP: str
    DESCRIPTION: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, given: argparse.Namespace) -> int:
        """Do it, and give the exit code. Raises UserError and OSError."""
        ...


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-store",
        type=Path,
        metavar="STORE",
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


def end(code: int) -> int:
    """The exit code. It does not come back where a batch or a load is still on its thread: Python
    would take the libraries down beneath it.
    """
    left = unfinished_threads(END_SECONDS)
    if left:
        log.info("the process ends without waiting for %s", ", ".join(left))
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
