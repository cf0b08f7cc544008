"""Scalars as TensorBoard reads them. `tf.summary.scalar` would need the whole of TensorBoard
installed."""

from pathlib import Path

import tensorflow as tf


class ScalarWriter:
    """Writes one event file into a folder."""

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))
        self._kind = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        self._kind.plugin_data.plugin_name = "scalars"

    def write(self, scalars: dict[str, float], step: int) -> None:
        """Add one point to each scalar's curve."""
        with self._writer.as_default():
            for name, value in scalars.items():
                tf.summary.write(name, tf.constant(value, tf.float32), step, metadata=self._kind)
        self._writer.flush()
