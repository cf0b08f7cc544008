"""SavedModels, read from any path."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from models.contract.globbing import without_pattern


def load_saved_model(folder: Path) -> Any:
    """What `folder` holds, with its `signatures`. Keep it for as long as one of them is called: its
    variables live no longer.

    Raises what TensorFlow raises: OSError where there is none, and more for a damaged one.
    """
    with without_pattern(folder) as path:
        return tf.saved_model.load(str(path))
