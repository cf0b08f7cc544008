"""Random views of an image and its mask: Keras' augmentation layers, seeded for each example.

Left alone, a Keras layer inside tf.data draws from one generator that parallel calls share, so that runs differ. Here each
example brings its own seed, and a view depends on nothing else.
"""

import keras
import tensorflow as tf

from models.data.options import AugmentationOptions

VOID = 255  # in masks: no class, nothing to learn; datasets hold at most 255 classes


class ExampleSeed(keras.random.SeedGenerator):  # type: ignore[misc]
    """Gives a Keras layer the seeds that belong to one example: each draw folds its count into the example's key."""

    def __init__(self, key: tf.Tensor) -> None:
        # The parent's __init__ makes the shared variable that this class is there to avoid.
        self._key = key
        self._draws = 0

    def next(self, ordered: bool = True) -> tf.Tensor:  # noqa: ARG002
        self._draws += 1
        return tf.random.experimental.stateless_fold_in(self._key, self._draws)


class Augmentation:
    """Cuts a random view of `options.crop` out of an image (H, W, C) and its mask (H, W)."""

    def __init__(self, options: AugmentationOptions, channels: int) -> None:
        self._crop = options.crop
        low, high = options.scale
        self._smallest_scale = low
        self._geometry: list[keras.layers.Layer] = []
        self._colour: list[keras.layers.Layer] = []
        if options.flip:
            self._geometry.append(keras.layers.RandomFlip("horizontal"))
        if (low, high) != (1.0, 1.0):
            # Keras' factor is that of the field of view: -0.5 halves it, which doubles what is seen.
            self._geometry.append(
                keras.layers.RandomZoom((1 / high - 1, 1 / low - 1), fill_mode="reflect")
            )
        values = (0, 255)
        if options.brightness:
            self._colour.append(keras.layers.RandomBrightness(options.brightness, values))
        if options.contrast:
            self._colour.append(keras.layers.RandomContrast(options.contrast, values))
        if channels == 3 and options.saturation:
            self._colour.append(
                keras.layers.RandomSaturation(
                    (0.5 - options.saturation / 2, 0.5 + options.saturation / 2), values
                )
            )
        if channels == 3 and options.hue:
            self._colour.append(keras.layers.RandomHue(options.hue, values))

    def __call__(
        self, image: tf.Tensor, mask: tf.Tensor, key: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map uint8 image, uint8 mask and an int32 key (2,) to a float32 (h, w, C) and a uint8 (h, w) of crop size."""
        seed = ExampleSeed(key)
        reach = [int(-(-size // self._smallest_scale)) for size in self._crop]
        image, mask = self._window(image, mask[..., tf.newaxis], reach, seed)
        # Keras' layers take batches; this is one of one.
        images = tf.cast(image, tf.float32)[tf.newaxis]
        masks = tf.cast(mask, tf.float32)[tf.newaxis]
        for layer in self._geometry:
            view = layer.get_random_transformation({"images": images}, training=True, seed=seed)
            images = layer.transform_images(images, view, training=True)
            masks = layer.transform_segmentation_masks(masks, view, training=True)
        image, mask = self._padded(images[0], masks[0])
        image, mask = self._window(image, mask, list(self._crop), seed)
        images = tf.ensure_shape(image, (*self._crop, image.shape[-1]))[tf.newaxis]
        for layer in self._colour:
            view = layer.get_random_transformation({"images": images}, training=True, seed=seed)
            images = layer.transform_images(images, view, training=True)
        mask = tf.ensure_shape(mask[..., 0], self._crop)
        return tf.clip_by_value(images[0], 0.0, 255.0), tf.cast(mask, tf.uint8)

    def _window(
        self, image: tf.Tensor, mask: tf.Tensor, size: list[int], seed: ExampleSeed
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Cut a random window of at most `size` out of both. (Keras' RandomCrop resizes a smaller mask bilinearly.)"""
        available = tf.shape(image)[:2]
        window = tf.minimum(available, size)
        share = tf.random.stateless_uniform((2,), seed.next())
        room = tf.cast(available - window + 1, tf.float32)
        start = tf.minimum(tf.cast(share * room, tf.int32), available - window)
        begin, extent = tf.concat([start, [0]], 0), tf.concat([window, [-1]], 0)
        return tf.slice(image, begin, extent), tf.slice(mask, begin, extent)

    def _padded(self, image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Bring a smaller image up to the crop: middle gray around it, and nothing to learn there."""
        missing = tf.maximum(self._crop - tf.shape(image)[:2], 0)
        before = missing // 2
        padding = tf.pad(tf.stack([before, missing - before], axis=1), [[0, 1], [0, 0]])
        return (
            tf.pad(image, padding, constant_values=127.5),
            tf.pad(mask, padding, constant_values=VOID),
        )
