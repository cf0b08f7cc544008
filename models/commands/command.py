"""What a command of `segtrain` is, and what several of them need."""

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Protocol

from models.contract.preprocessing import read_scale

BUNDLED_STORE = Path(__file__).parents[1] / "zoo"
DEFAULT_STORE = Path("my_models")  # where the command is given: the bundled store is the checkout's


class Command(Protocol):
    """A module of this folder. What needs TensorFlow is imported in `run`, so that --help is
    instant."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's flags; what to say when it is interrupted is the default of
        `when_stopped`."""

    def run(self, parsed: argparse.Namespace) -> None:
        """Do it. Raises UserError and OSError."""


def for_shell(path: Path) -> str:
    """A path as a line to copy has it: in quotes where it holds blanks or brackets."""
    return shlex.quote(str(path))


def scale_text(text: str) -> str:
    """A scale as a recipe has it. Raises argparse.ArgumentTypeError."""
    try:
        read_scale(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    return text


def import_tensorflow() -> None:
    """Import TensorFlow without the notes it writes to stderr meanwhile, which no setting keeps
    back (its issue 100442).

    They are shown where the import fails, and where TF_CPP_MIN_LOG_LEVEL asks for them.
    """
    if "tensorflow" in sys.modules:
        return
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1"):
        import tensorflow

        return
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
