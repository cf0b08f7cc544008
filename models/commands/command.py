"""What every command of `segtrain` needs.

A command is a module with `add_command(commands)`, which adds its parser and sets `run_command`. What needs TensorFlow is
imported when the command runs, so that --help is instant.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEFAULT_STORE = Path(__file__).parents[1] / "zoo"


def import_tensorflow() -> None:
    """Import TensorFlow without the notes it writes to stderr meanwhile, which no setting keeps back (its issue 100442).

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
