"""What every command of `segtrain` needs.

A command is a module with `add_command(commands)`, which adds its parser and sets `run_command`. What needs TensorFlow is
imported when the command runs, so that --help is instant.
"""

import argparse
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEFAULT_STORE = Path(__file__).parents[1] / "zoo"
