"""Paths for what takes a path for a pattern."""

import glob
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def without_pattern(path: Path) -> Iterator[Path]:
    """`path`, or for the time of the block a link to it where it holds `[`, `*` or `?`.

    TensorFlow looks for a SavedModel's variables as for a pattern, and takes no escaping: those of
    "st [v2]/1" it does not find.
    """
    if not glob.has_magic(str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="segserve-") as folder:
        link = Path(folder) / "link"
        link.symlink_to(path.resolve())
        yield link
