"""tf.data input: the endless stream of training batches."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.data.augmentation import Augmentation
from models.data.dataset import Sample

MEMORY_FOR_IMAGES_BYTES = 4 << 30

Pixels = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class SampleReader:
    """Reads samples by index, and keeps what it decoded while it fits into memory."""

    def __init__(self, samples: Sequence[Sample], channels: int) -> None:
        self._samples = samples
        self._channels = channels
        self._kept: dict[int, Pixels] = {}
        self._kept_bytes = 0

    def __call__(self, index: int) -> Pixels:
        """The image uint8 (H, W, C) and mask uint8 (H, W) of one sample. Raises DatasetError."""
        kept = self._kept.get(int(index))
        if kept is not None:
            return kept
        pixels = self._samples[index].read(self._channels)
        size = pixels[0].nbytes + pixels[1].nbytes
        if self._kept_bytes + size <= MEMORY_FOR_IMAGES_BYTES:
            self._kept[int(index)] = pixels
            self._kept_bytes += size
        return pixels


def training_batches(
    samples: Sequence[Sample],
    channels: int,
    augmentation: Augmentation,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int,
    epochs: int,
) -> tf.data.Dataset:
    """Batches of images float32 (N, h, w, C) and masks uint8 (N, h, w), `steps_per_epoch` an epoch, each sample once.

    Order and views depend on the seed, the epoch and the sample alone, so a resumed run sees what an unbroken one would.
    """
    reader = SampleReader(samples, channels)
    steps = steps_per_epoch(len(samples), batch_size)

    def epoch_order(epoch: tf.Tensor) -> tf.data.Dataset:
        # An epoch's last batch is filled up with the order's beginning, so that every batch is full.
        order = tf.random.experimental.stateless_shuffle(tf.range(len(samples)), [seed, epoch])
        order = tf.tile(order, [-(-steps * batch_size // len(samples))])[: steps * batch_size]
        places = tf.range(steps * batch_size) + epoch * steps * batch_size
        return tf.data.Dataset.from_tensor_slices((order, places))

    def view(index: tf.Tensor, place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, mask = tf.numpy_function(reader, [index], (tf.uint8, tf.uint8), stateful=False)
        image.set_shape((None, None, channels))
        mask.set_shape((None, None))
        return augmentation(image, mask, tf.stack([seed, place]))

    return (
        tf.data.Dataset.range(first_epoch, epochs, output_type=tf.int32)
        .flat_map(epoch_order)
        .map(view, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Full batches in one epoch, the last one filled up."""
    return -(-samples // batch_size)
