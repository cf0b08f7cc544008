"""Losses on logits (N, H, W, classes) and masks (N, H, W). Ids that are no class are void: they
cost and teach nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.training.options import ClassWeighting, LossOptions, LossTerm


@dataclass(frozen=True)
class Pixels:
    """What a term sees of P pixels: `logits` float32 (P, C), `labels` int32 (P,), `valid` and
    `weights` float32 (P,); `grid` int32 (3,) is N, H and W, whose product is P.

    Of a void pixel the label is 0, and so are `valid` and the weight.
    """

    logits: tf.Tensor
    labels: tf.Tensor
    valid: tf.Tensor
    weights: tf.Tensor
    grid: tf.Tensor

    @property
    def cross_entropies(self) -> tf.Tensor:
        """-ln p of the true class (P,)."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(self.labels, self.logits)

    @property
    def probabilities(self) -> tf.Tensor:
        """The softmax (P, C), zero at void pixels."""
        return tf.nn.softmax(self.logits) * self.valid[:, tf.newaxis]

    @property
    def truth(self) -> tf.Tensor:
        """The labels one-hot (P, C), zero at void pixels."""
        return tf.one_hot(self.labels, self.logits.shape[-1]) * self.valid[:, tf.newaxis]


# ---- terms


def cross_entropy(pixels: Pixels, term: LossTerm) -> tf.Tensor:  # noqa: ARG001
    """-ln p of the true class, the mean by weight, so that the loss keeps its size whatever the
    weights' size."""
    return _weighted_mean(pixels.cross_entropies, pixels.weights)


def focal(pixels: Pixels, term: LossTerm) -> tf.Tensor:
    """(1 - p)^gamma of the cross-entropy (Lin et al. 2017, "Focal Loss", equation 5; its alpha is
    our class weight)."""
    costs = pixels.cross_entropies
    # At p = 1 the power's slope would be infinite for a gamma under 1.
    missing = tf.maximum(1 - tf.exp(-costs), 1e-7)
    return _weighted_mean(missing**term.gamma * costs, pixels.weights)


def dice(pixels: Pixels, term: LossTerm) -> tf.Tensor:  # noqa: ARG001
    """1 - 2 Σpg / (Σp² + Σg²) a class (Milletari et al. 2016, "V-Net", section 3), the mean over
    the classes that occur."""
    p, truth = pixels.probabilities, pixels.truth
    overlap = 2 * tf.reduce_sum(p * truth, axis=0)
    sizes = tf.reduce_sum(tf.square(p) + tf.square(truth), axis=0)
    return _mean_of_present(1 - tf.math.divide_no_nan(overlap, sizes), truth)


def tversky(pixels: Pixels, term: LossTerm) -> tf.Tensor:
    """1 - TP / (TP + alpha FP + beta FN) a class (Salehi et al. 2017, equation 4), the mean over
    the classes that occur."""
    p, truth = pixels.probabilities, pixels.truth
    hits = tf.reduce_sum(p * truth, axis=0)
    false_positives = tf.reduce_sum(p, axis=0) - hits
    false_negatives = tf.reduce_sum(truth, axis=0) - hits
    whole = hits + term.alpha * false_positives + term.beta * false_negatives
    return _mean_of_present(1 - tf.math.divide_no_nan(hits, whole), truth)


def lovasz_softmax(pixels: Pixels, term: LossTerm) -> tf.Tensor:  # noqa: ARG001
    """The Lovász extension of 1 - IoU a class, the mean over the classes that occur in the batch
    (Berman et al. 2018, section 3.1).

    Errors are counted in 1024 levels, not sorted: a sort of every pixel takes longer than the
    network's step. What the IoU loses in a level is shared by its pixels, missed ones (union :
    intersection) more than false positives, as either lowers the IoU.
    """
    truth = pixels.truth
    known = tf.broadcast_to(pixels.valid[:, tf.newaxis], tf.shape(truth))
    errors = tf.abs(truth - pixels.probabilities)
    classes = truth.shape[-1]
    level = tf.cast((1 - tf.stop_gradient(errors)) * (ERROR_LEVELS - 1), tf.int32)
    place = level + ERROR_LEVELS * tf.range(classes)

    def counted(marks: tf.Tensor) -> tf.Tensor:
        """How many of each class and level (C, levels), the largest errors first."""
        sums = tf.math.unsorted_segment_sum(marks, place, classes * ERROR_LEVELS)
        return tf.reshape(sums, (classes, ERROR_LEVELS))

    missed, false = counted(truth), counted(known - truth)
    size = tf.reduce_sum(missed, axis=1, keepdims=True)
    hits, unions = (
        tf.concat([size, size + change], axis=1)
        for change in (-tf.cumsum(missed, axis=1), tf.cumsum(false, axis=1))
    )
    iou = tf.math.divide_no_nan(hits, unions)
    lost = iou[:, :-1] - iou[:, 1:]
    hits, unions = hits[:, :-1] + hits[:, 1:], unions[:, :-1] + unions[:, 1:]
    unit = tf.math.divide_no_nan(lost, missed * unions + false * hits)
    of_missed, of_false = (
        tf.gather(tf.reshape(unit * part, [-1]), place) for part in (unions, hits)
    )
    shares = tf.where(truth > 0, of_missed, of_false)
    return _mean_of_present(tf.reduce_sum(errors * shares, axis=0), truth)


ERROR_LEVELS = 1024


def boundary_f1(pixels: Pixels, term: LossTerm) -> tf.Tensor:  # noqa: ARG001
    """1 - F1 of a class's outline, the mean over the classes that occur (Bokhovkin and Burnaev
    2019, "Boundary Loss for Remote Sensing Imagery Semantic Segmentation", section 3).

    A pixel is of the outline as far as one beside it is not of the class; an outline is hit within
    two pixels, theta = 5 in the paper. No outline lies between a pixel and void.
    """
    maps = tf.concat([pixels.grid, [-1]], axis=0)
    known = tf.reshape(pixels.valid, tf.concat([pixels.grid, [1]], axis=0))
    predicted, true = (
        _outline(tf.reshape(inside, maps), known) for inside in (pixels.probabilities, pixels.truth)
    )
    precision = _share(predicted, _widened(true, OUTLINE_REACH))
    recall = _share(true, _widened(predicted, OUTLINE_REACH))
    f1 = tf.math.divide_no_nan(2 * precision * recall, precision + recall)
    outlined = tf.reduce_any(true > 0, axis=(0, 1, 2))
    return _weighted_mean(1 - f1, tf.cast(outlined, tf.float32))


OUTLINE_REACH = 2  # pixels


def _outline(inside: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """How much of an outline each pixel is, for `inside` (N, H, W, C), zero where not `known`."""
    outside = (1 - inside) * known
    return (_widened(outside, 1) - outside) * known


def _widened(maps: tf.Tensor, reach: int) -> tf.Tensor:
    """The highest value within `reach` pixels, of maps (N, H, W, C) without a negative value."""
    return tf.nn.max_pool2d(maps, 2 * reach + 1, 1, "SAME")


def _share(of: tf.Tensor, within: tf.Tensor) -> tf.Tensor:
    """Which share of maps (N, H, W, C) lies within others, a class."""
    places = (0, 1, 2)
    return tf.math.divide_no_nan(tf.reduce_sum(of * within, places), tf.reduce_sum(of, places))


LOSSES: dict[str, Callable[[Pixels, LossTerm], tf.Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "tversky": tversky,
    "lovasz_softmax": lovasz_softmax,
    "boundary_f1": boundary_f1,
}
BY_PIXEL_WEIGHTS = frozenset({"cross_entropy", "focal"})  # the others are means over classes


def _weighted_mean(costs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(costs * weights), tf.reduce_sum(weights))


def _mean_of_present(costs: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    """The mean of (C,) over the classes with a pixel in `truth` (P, C); 0 where none has one."""
    return _weighted_mean(costs, tf.cast(tf.reduce_any(truth > 0, axis=0), tf.float32))


# ---- the sum


class SegmentationLoss:
    """The weighted sum of a recipe's terms. `class_weights` has one weight a class, for
    cross-entropy and focal; `progress` gives the share of the training's steps that are done."""

    def __init__(
        self,
        options: LossOptions,
        class_weights: Sequence[float],
        progress: Callable[[], tf.Tensor] = lambda: tf.constant(0.0),
    ) -> None:
        self._terms = options.terms
        self._progress = progress
        self._class_weights = tf.constant(class_weights, tf.float32)

    def __call__(
        self, masks: tf.Tensor, logits: tf.Tensor, border: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Map masks uint8 (N, H, W) and logits (N, H, W, C) to one float32; `border` float32 (N, H,
        W) is added to the weights."""
        classes = len(self._class_weights)
        labels = tf.reshape(tf.cast(masks, tf.int32), [-1])
        valid = labels < classes
        labels = tf.where(valid, labels, 0)
        weights = tf.gather(self._class_weights, labels)
        if border is not None:
            weights += tf.reshape(border, [-1])
        known = tf.cast(valid, tf.float32)
        pixels = Pixels(
            logits=tf.reshape(tf.cast(logits, tf.float32), [-1, classes]),
            labels=labels,
            valid=known,
            weights=weights * known,
            grid=tf.shape(masks),
        )
        return tf.add_n([term.weight * self._value(term, pixels) for term in self._terms])

    def _value(self, term: LossTerm, pixels: Pixels) -> tf.Tensor:
        """A term's loss; 0, and not computed, before its start."""
        if not term.start:
            return LOSSES[term.name](pixels, term)
        return tf.cond(
            self._progress() >= term.start,
            lambda: LOSSES[term.name](pixels, term),
            lambda: tf.constant(0.0),
        )


def class_weights(
    weighting: ClassWeighting,
    pixels: NDArray[np.int64],
    image_pixels: NDArray[np.int64] | None = None,
) -> list[float]:
    """One weight a class from the classes' pixel counts (classes,) in the training split.

    `image_pixels` (classes,) are all pixels of the images that hold each class; if not said, each
    is in every image. "inverse_log" is 1 / ln(1.1 + p), p a class's share of all pixels (ENet,
    Paszke et al. 2016, section 5.1, with 1.1 for 1.02); "median_frequency" is median(f) / f over
    the classes that occur, f a class's share of the pixels of the images that hold it (Eigen and
    Fergus 2015, section 6.3.2; SegNet).
    """
    if weighting == "none":
        return [1.0] * len(pixels)
    if weighting == "inverse_log":
        share = pixels / max(pixels.sum(), 1)
        return [float(weight) for weight in 1 / np.log(1.1 + share)]
    held = pixels.sum() if image_pixels is None else image_pixels
    frequency = pixels / np.maximum(held, 1)
    present = frequency > 0
    median = float(np.median(frequency[present])) if present.any() else 1.0
    return [float(median / f) if f > 0 else 0.0 for f in frequency]
