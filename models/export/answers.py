"""What logits mean: the class maps and probabilities that the signatures of a SavedModel give."""

import numpy as np
import tensorflow as tf

from models.contract import Overlap


def probabilities_of(logits: tf.Tensor, overlap: Overlap | None) -> tf.Tensor:
    """Probabilities float32 (N, H, W, classes) of logits (N, H, W, classes).

    Where classes overlap, logits are of those alone, without the background, and each has a
    probability of its own; the background's is what the likeliest of them lacks.
    """
    logits = tf.cast(logits, tf.float32)
    if overlap is None:
        return tf.nn.softmax(logits)
    each = tf.sigmoid(logits)
    return tf.concat([1 - tf.reduce_max(each, axis=-1, keepdims=True), each], axis=-1)


def class_map_of(logits: tf.Tensor, overlap: Overlap | None) -> tf.Tensor:
    """Class ids uint8 (N, H, W) of logits as `probabilities_of` takes them: the highest, or the
    first of the priority that is above the threshold."""
    if overlap is None:
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)
    there = probabilities_of(logits, overlap)[..., 1:] > overlap.threshold
    ranks = np.zeros(len(overlap.priority), np.int32)
    for place, class_id in enumerate(overlap.priority):
        ranks[class_id - 1] = len(overlap.priority) - place
    ids = np.array((0, *reversed(overlap.priority)), np.uint8)  # by rank
    return tf.gather(ids, tf.reduce_max(tf.cast(there, tf.int32) * ranks, axis=-1))
