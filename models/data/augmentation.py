"""Random views of an image and its mask.

A view is one map of coordinates (place, scale, rotation, flips, elastic deformation), so that
pixels are sampled once, and one 3×3 matrix of colours. It depends on its key alone, so the same key
gives the same view whatever runs beside it.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from models.data.dataset import VOID
from models.data.options import AugmentationOptions

MIDDLE_GRAY = 127.5
ELASTIC_GRID = 3  # Ronneberger et al. 2015, section 3.1
# ITU-R BT.601: luma, and the two axes in whose plane hue is an angle.
RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


class StatelessRng:
    """Uniform and normal numbers that belong to one key: each draw folds its count into the key."""

    def __init__(self, key: tf.Tensor) -> None:
        self._key = key
        self._count = 0

    def _seed(self) -> tf.Tensor:
        self._count += 1
        return tf.random.experimental.stateless_fold_in(self._key, self._count)

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> tf.Tensor:
        return tf.random.stateless_uniform(shape, self._seed(), low, high)

    def integer(self, count: int) -> tf.Tensor:
        """A whole number from 0 to `count` - 1, int32 ()."""
        return tf.random.stateless_uniform((), self._seed(), 0, count, tf.int32)

    def normal(self, shape: tuple[int, ...]) -> tf.Tensor:
        return tf.random.stateless_normal(shape, self._seed())


class Augmentation:
    """Cuts a random view of `options.crop` out of an image (H, W, C) and its mask (H, W), whose ids
    from `classes` on are void."""

    def __init__(self, options: AugmentationOptions, channels: int, classes: int = VOID) -> None:
        self._options = options
        self._channels = channels
        self._classes = classes

    def __call__(
        self, image: tf.Tensor, mask: tf.Tensor, key: tf.Tensor, border: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, ...]:
        """Map uint8 image, uint8 mask and an int32 key (2,) to a float32 (h, w, C) and a uint8 (h,
        w) of crop size.

        `border` float32 (H, W) goes the mask's way and is a third float32 (h, w).
        """
        rng = StatelessRng(key)
        size = tf.shape(mask)
        coordinates, outside = self._reflect(self._sampling_grid(mask, rng), size)
        view = tf.where(outside[..., tf.newaxis], MIDDLE_GRAY, _bilinear(image, coordinates))
        view = self._jitter_colors(
            tf.ensure_shape(view, (*self._options.crop, self._channels)), rng
        )
        ids = tf.where(outside, tf.constant(VOID, tf.uint8), _nearest(mask, coordinates))
        parts = (view, tf.ensure_shape(ids, self._options.crop))
        if border is None:
            return parts
        weights = tf.where(outside, 0.0, _nearest(border, coordinates))
        return (*parts, tf.ensure_shape(weights, self._options.crop))

    # ---- geometry

    def _sampling_grid(self, mask: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        """Where in the image each pixel of the view comes from: float32 (h, w, 2), rows and
        columns."""
        options = self._options
        crop = tf.constant(options.crop, tf.float32)
        rows, columns = (tf.range(n, dtype=tf.float32) + 0.5 for n in options.crop)
        offsets = tf.stack(tf.meshgrid(rows, columns, indexing="ij"), axis=-1) - crop / 2
        if options.elastic:
            shifts = rng.normal((ELASTIC_GRID, ELASTIC_GRID, 2)) * options.elastic
            offsets += tf.image.resize(shifts, options.crop, "bicubic")
        low, high = options.scale
        magnification = tf.exp(rng.uniform(math.log(low), math.log(high)))
        matrix = self._rotation(rng) / magnification
        offsets = tf.reshape(tf.reshape(offsets, (-1, 2)) @ matrix, (*options.crop, 2))
        # The corner is a whole number of pixels, so that at scale 1 nothing is interpolated.
        extent = crop / magnification
        room = tf.cast(tf.shape(mask), tf.float32) - extent
        corner = rng.uniform(0, 1, (2,)) * room
        if options.class_balance:
            corner = self._on_a_class(corner, mask, matrix, extent, rng)
        corner = tf.round(corner)
        return offsets + corner + extent / 2 - 0.5

    def _on_a_class(
        self,
        corner: tf.Tensor,
        mask: tf.Tensor,
        matrix: tf.Tensor,
        extent: tf.Tensor,
        rng: StatelessRng,
    ) -> tf.Tensor:
        """The corner as it is or, as often as `class_balance` says, one of a view in which a pixel
        of a random class lies anywhere: rare classes are seen more often than chance shows them.
        `matrix` turns places of the view into those of the image, both from the middle."""
        wanted = rng.uniform(0, 1) < self._options.class_balance
        places = rng.uniform(0, 1, (4,))  # which class, which of its pixels, where in the view

        def drawn() -> tf.Tensor:
            ids, _ = tf.unique(tf.reshape(mask, [-1]))
            ids = tf.boolean_mask(ids, tf.cast(ids, tf.int32) < self._classes)
            pixels = tf.where(mask == _pick(tf.sort(tf.cast(ids, tf.int32)), places[0], mask.dtype))
            pixel = tf.cast(_pick(pixels, places[1], tf.int64), tf.float32)
            place = (places[2:] - 0.5) * tf.constant(self._options.crop, tf.float32)
            middle = pixel + 0.5 - tf.squeeze(place[tf.newaxis] @ matrix, 0)
            room = tf.cast(tf.shape(mask), tf.float32) - extent
            beside = middle - extent / 2
            return tf.clip_by_value(beside, tf.minimum(room, 0.0), tf.maximum(room, 0.0))

        has_classes = tf.reduce_any(tf.cast(mask, tf.int32) < self._classes)
        return tf.cond(wanted & has_classes, drawn, lambda: corner)

    def _rotation(self, rng: StatelessRng) -> tf.Tensor:
        """The rotation and the flips, float32 (2, 2)."""
        options = self._options
        matrix = tf.eye(2)
        if options.rotation:
            angle = rng.uniform(-1, 1) * math.radians(options.rotation)
            sine, cosine = tf.sin(angle), tf.cos(angle)
            matrix = tf.stack([tf.stack([cosine, -sine]), tf.stack([sine, cosine])])
        if options.rot90:
            quarter = tf.constant([[0.0, -1.0], [1.0, 0.0]])
            powers = tf.stack([tf.eye(2), quarter, -tf.eye(2), -quarter])
            matrix = tf.gather(powers, rng.integer(4)) @ matrix
        signs = [
            1.0 - 2.0 * tf.cast(rng.integer(2), tf.float32) if flip else tf.constant(1.0)
            for flip in (options.vertical_flip, options.flip)
        ]
        return matrix * tf.stack(signs)

    def _reflect(self, coordinates: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The places inside the image that show what lies beyond it, and which (h, w) of them stay
        empty."""
        size = tf.cast(size, tf.float32)
        if self._options.fill_mode == "ignore":
            outside = tf.reduce_any((coordinates < -0.5) | (coordinates >= size - 0.5), axis=-1)
        else:
            outside = tf.zeros(self._options.crop, tf.bool)
        period = tf.math.floormod(coordinates + 0.5, 2 * size)
        inside = tf.minimum(period, 2 * size - period) - 0.5
        return tf.clip_by_value(inside, 0.0, size - 1), outside

    # ---- colour

    def _jitter_colors(self, view: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        options = self._options
        is_degraded = self._is_degraded(rng)
        if options.blur:
            view = _if(is_degraded, self._blur, view, rng)
        if self._channels == 3 and (options.saturation or options.hue):
            view = tf.reshape(
                tf.reshape(view, (-1, 3)) @ self._color_matrix(rng), (*options.crop, 3)
            )
        if options.contrast:
            mean = tf.reduce_mean(view, axis=(0, 1), keepdims=True)
            view = mean + (view - mean) * (1 + rng.uniform(-1, 1) * options.contrast)
        if options.brightness:
            view += rng.uniform(-1, 1) * options.brightness * 255
        if options.noise:
            view = _if(is_degraded, self._add_noise, view, rng)
        if options.jpeg:
            view = _if(is_degraded, self._compress, view, rng)
        return tf.clip_by_value(view, 0.0, 255.0)

    def _is_degraded(self, rng: StatelessRng) -> tf.Tensor | None:
        """Whether this view is blurred, noisy and compressed; None where every view is."""
        share = self._options.degraded
        return None if share == 1 else rng.uniform(0, 1) < share

    def _color_matrix(self, rng: StatelessRng) -> tf.Tensor:
        """Saturation and hue, float32 (3, 3) from the right: a scaling and a turn of the plane
        without luma."""
        options = self._options
        to_yiq = tf.transpose(tf.constant(RGB_TO_YIQ))
        scale = 1 + rng.uniform(-1, 1) * options.saturation
        angle = rng.uniform(-1, 1) * options.hue * 2 * math.pi
        sine, cosine = scale * tf.sin(angle), scale * tf.cos(angle)
        rotation = tf.reshape(
            tf.stack([1.0, 0.0, 0.0, 0.0, cosine, -sine, 0.0, sine, cosine]), (3, 3)
        )
        return to_yiq @ rotation @ tf.linalg.inv(to_yiq)

    def _add_noise(self, view: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        """Gaussian noise of a random deviation up to `options.noise`."""
        normal = rng.normal((*self._options.crop, self._channels))
        return view + normal * (rng.uniform(0, 1) * self._options.noise * 255)

    def _compress(self, view: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        """What JPEG of a random quality from `options.jpeg` to 100 leaves of it."""
        quality = self._options.jpeg + rng.integer(101 - self._options.jpeg)
        pixels = tf.cast(tf.round(tf.clip_by_value(view, 0.0, 255.0)), tf.uint8)
        pixels = tf.image.adjust_jpeg_quality(pixels, quality)
        return tf.cast(tf.ensure_shape(pixels, view.shape), tf.float32)

    def _blur(self, view: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        """A Gaussian of a random width up to `options.blur` pixels, mirrored at the border."""
        reach = min(math.ceil(3 * self._options.blur), min(self._options.crop) - 1)
        sigma = tf.maximum(rng.uniform(0, 1) * self._options.blur, 1e-2)
        kernel = tf.exp(-tf.square(tf.range(-reach, reach + 1, dtype=tf.float32) / sigma) / 2)
        kernel = tf.tile(
            (kernel / tf.reduce_sum(kernel))[:, None, None, None], (1, 1, self._channels, 1)
        )
        padded = tf.pad(view, ((reach, reach), (reach, reach), (0, 0)), "REFLECT")[tf.newaxis]
        for filters in (kernel, tf.transpose(kernel, (1, 0, 2, 3))):
            padded = tf.nn.depthwise_conv2d(padded, filters, (1, 1, 1, 1), "VALID")
        return padded[0]


def _if(
    condition: tf.Tensor | None,
    change: Callable[[tf.Tensor, StatelessRng], tf.Tensor],
    view: tf.Tensor,
    rng: StatelessRng,
) -> tf.Tensor:
    """The changed view where `condition` holds or is None, else the view as it is."""
    if condition is None:
        return change(view, rng)
    return tf.cond(condition, lambda: change(view, rng), lambda: view)


def _pick(entries: tf.Tensor, place: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The entry at a share of the way through them, 0 to below 1."""
    count = tf.cast(tf.shape(entries)[0], tf.float32)
    return tf.cast(entries[tf.cast(place * count, tf.int32)], dtype)


def _bilinear(image: tf.Tensor, coordinates: tf.Tensor) -> tf.Tensor:
    """The image uint8 (H, W, C) at places (h, w, 2) inside it, float32 (h, w, C)."""
    low = tf.floor(coordinates)
    down, right = tf.split(coordinates - low, 2, axis=-1)
    # Each pixel beside its right, lower and lower right neighbour, so that one gather fetches all
    # four.
    wider = tf.concat([image, image[:, -1:]], axis=1)
    pairs = tf.concat([wider[:, :-1], wider[:, 1:]], axis=-1)
    fours = tf.concat([pairs, tf.concat([pairs[1:], pairs[-1:]], axis=0)], axis=-1)
    corners = tf.cast(_gather(fours, tf.cast(low, tf.int32)), tf.float32)
    top_left, top_right, bottom_left, bottom_right = tf.split(corners, 4, axis=-1)
    top = top_left + (top_right - top_left) * right
    bottom = bottom_left + (bottom_right - bottom_left) * right
    return top + (bottom - top) * down


def _nearest(mask: tf.Tensor, coordinates: tf.Tensor) -> tf.Tensor:
    """The mask (H, W) at places (h, w, 2) inside it, never between two values."""
    return _gather(mask, tf.cast(tf.round(coordinates), tf.int32))


def _gather(pixels: tf.Tensor, coordinates: tf.Tensor) -> tf.Tensor:
    """`pixels` (H, W, …) at whole places (h, w, 2)."""
    shape = tf.shape(pixels)
    flat = tf.reshape(pixels, tf.concat([[-1], shape[2:]], 0))
    return tf.gather(flat, coordinates[..., 0] * shape[1] + coordinates[..., 1])
