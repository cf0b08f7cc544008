"""tf.data input: the endless stream of training batches."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.data.augmentation import Augmentation
from models.data.copy_paste import CopyPaste
from models.data.dataset import Sample
from models.data.memory import memory_bytes

MEMORY_FOR_IMAGES_BYTES = 4 << 30
MEMORY_SHARE_FOR_IMAGES = 0.25

PixelWeights = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class SampleReader:
    """Reads samples by index, and keeps what it decoded up to `max_bytes`; the rest is decoded
    again each time."""

    def __init__(
        self,
        samples: Sequence[Sample],
        channels: int,
        weights: PixelWeights | None = None,
        *,
        max_bytes: int,
    ) -> None:
        self._samples = samples
        self._channels = channels
        self._weights = weights
        self._max_bytes = max_bytes
        self._cache: dict[int, tuple[NDArray[np.generic], ...]] = {}
        self._cached_bytes = 0

    def __call__(self, index: int) -> tuple[NDArray[np.generic], ...]:
        """The image uint8 (H, W, C) and mask uint8 (H, W) of one sample, and its weights float32
        (H, W) where there are some.

        Raises DatasetError.
        """
        cached = self._cache.get(int(index))
        if cached is not None:
            return cached
        image, mask = self._samples[index].read(self._channels)
        parts: tuple[NDArray[np.generic], ...] = image, mask
        if self._weights:
            parts = (*parts, self._weights(mask))
        size = sum(part.nbytes for part in parts)
        if self._cached_bytes + size <= self._max_bytes:
            self._cache[int(index)] = parts
            self._cached_bytes += size
        return parts


class TrainingOrder:
    """Which samples each batch holds: every epoch all of them, in an order that seed and epoch
    alone decide.

    An epoch's last batch is filled up with the order's beginning, so that every batch is full.
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        self._samples = samples
        self._batch_size = batch_size
        self._seed = seed
        self.steps_per_epoch = -(-samples // batch_size)

    def epoch(self, epoch: tf.Tensor) -> tf.Tensor:
        """The samples' indices int32, `steps_per_epoch` batches of them."""
        filled = self.steps_per_epoch * self._batch_size
        order = tf.random.experimental.stateless_shuffle(
            tf.range(self._samples), [self._seed, epoch]
        )
        return tf.tile(order, [-(-filled // self._samples)])[:filled]

    def batch(self, step: int) -> list[int]:
        """The indices in the batch of a step, counted from the first of the training."""
        epoch, place = divmod(step, self.steps_per_epoch)
        first = place * self._batch_size
        return [int(i) for i in self.epoch(epoch)[first : first + self._batch_size]]


def training_batches(
    samples: Sequence[Sample],
    channels: int,
    augmentation: Augmentation,
    *,
    batch_size: int,
    seed: int,
    first_step: int,
    steps: int,
    weights: PixelWeights | None = None,
    copy_paste: CopyPaste | None = None,
    cache_bytes: int | None = None,
) -> tf.data.Dataset:
    """Batches `first_step` to `steps` of images float32 (N, h, w, C), masks uint8 (N, h, w) and,
    with `weights`, their map (N, h, w).

    Decoded images are kept up to `cache_bytes`: if not said, a quarter of the memory, at most 4
    GiB. Order and views depend on the seed, the step and the sample alone, so a resumed run sees
    what an unbroken one would.
    """
    order = TrainingOrder(len(samples), batch_size, seed)
    if cache_bytes is None:
        cache_bytes = min(MEMORY_FOR_IMAGES_BYTES, int(MEMORY_SHARE_FOR_IMAGES * memory_bytes()))
    read = SampleReader(samples, channels, weights, max_bytes=cache_bytes)
    types = (tf.uint8, tf.uint8, tf.float32) if weights else (tf.uint8, tf.uint8)
    first_epoch, steps_into_it = divmod(first_step, order.steps_per_epoch)
    places_in_epoch = order.steps_per_epoch * batch_size

    def epoch_places(epoch: tf.Tensor) -> tf.data.Dataset:
        places = tf.range(places_in_epoch) + epoch * places_in_epoch
        return tf.data.Dataset.from_tensor_slices((order.epoch(epoch), places))

    def view(index: tf.Tensor, place: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image, mask, *border = tf.numpy_function(read, [index], types, stateful=False)
        image.set_shape((None, None, channels))
        for part in (mask, *border):
            part.set_shape((None, None))
        return augmentation(image, mask, tf.stack([seed, place]), *border)

    batches = (
        tf.data.Dataset.range(first_epoch, -(-steps // order.steps_per_epoch), output_type=tf.int32)
        .flat_map(epoch_places)
        .skip(steps_into_it * batch_size)
        .map(view, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .take(steps - first_step)
    )
    if copy_paste is not None:

        def mixed(step: tf.Tensor, parts: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            return copy_paste(tf.stack([-1 - seed, tf.cast(step, tf.int32)]), *parts)

        batches = batches.enumerate(first_step).map(mixed, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)
