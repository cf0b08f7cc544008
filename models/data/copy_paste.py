"""Small things of one view pasted into another (after Ghiasi et al. 2021, "Simple Copy-Paste", and
ClassMix, Olsson et al. 2021)."""

import tensorflow as tf

from models.data.augmentation import StatelessRng

# A class that covers more of a view, such as road or sky, would hide most of the other.
LARGEST_SHARE = 0.05


class CopyPaste:
    """Pastes into a `share` of a batch's views all that the next view shows of one class, where it
    lies there: a sign stays at a sign's height. Ids from `classes` on are void and never pasted."""

    def __init__(self, share: float, classes: int) -> None:
        self._share = share
        self._classes = classes

    def __call__(
        self, key: tf.Tensor, images: tf.Tensor, masks: tf.Tensor, *borders: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Map images float32 (N, h, w, C), masks uint8 (N, h, w) and what else goes the masks' way
        (N, h, w) to the same with things pasted, by an int32 key (2,) alone."""
        rng = StatelessRng(key)
        views = masks.shape[0]
        others = tf.roll(masks, -1, axis=0)
        chosen = self._drawn_class(others, rng)
        wanted = rng.uniform(0, 1, (views,)) < self._share
        pasted = (tf.cast(others, tf.int32) == chosen[:, None, None]) & wanted[:, None, None]

        def mixed(part: tf.Tensor) -> tf.Tensor:
            where = pasted[..., tf.newaxis] if part.shape.rank > pasted.shape.rank else pasted
            return tf.where(where, tf.roll(part, -1, axis=0), part)

        return tuple(mixed(part) for part in (images, masks, *borders))

    def _drawn_class(self, masks: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        """One of the small classes of each view (N,), each as likely as another; -1 where it has
        none."""
        ids = tf.range(self._classes)
        views, height, width = masks.shape
        here = tf.cast(masks, tf.int32)[..., tf.newaxis] == ids
        pixels = tf.reduce_sum(tf.cast(here, tf.int32), axis=(1, 2))
        small = (pixels > 0) & (pixels <= int(LARGEST_SHARE * height * width))
        draws = tf.where(small, rng.uniform(0, 1, (views, self._classes)), -1.0)
        found = tf.reduce_any(small, axis=1)
        return tf.where(found, tf.argmax(draws, axis=1, output_type=tf.int32), -1)
