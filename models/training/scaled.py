"""Predict at the size at which serving shows pictures to a network, and answer at their own."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from models.contract.preprocessing import Scale
from models.contract.working_size import ScaleRequest, wanted_ratio, working_size
from models.training.evaluation import Images, Predictor, Probabilities

_LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


def with_scale(
    predictor: Predictor, scale: Scale | None, request: ScaleRequest, factor: float = 1.0
) -> Predictor:
    """Each image at its working size by a contract's `scale`, or at the one that is asked for.

    `factor` shows it so many times as large as that.

    It is the service's way: shrunk by the area of its pixels, logits interpolated bilinearly, and
    the argmax after that. A file's own pixel size is not known here.
    """

    def probabilities(images: Images) -> Probabilities:
        height, width = images.shape[1:3]
        ratio, exact = wanted_ratio(max(height, width), scale, request)
        ratio, exact = ratio * factor, exact or factor != 1
        working = working_size(height, width, ratio, (1.0,), exact=exact)
        if working is None:
            return predictor.probabilities(images)
        seen = np.stack([resized(image, working.height, working.width) for image in images])
        least = tf.constant(_LEAST_PROBABILITY)
        # Softmax forgets what all logits of a pixel have in common, interpolated or not.
        logits = tf.math.log(tf.maximum(predictor.probabilities(seen), least))
        whole = tf.nn.softmax(tf.image.resize(logits, (height, width), "bilinear"))
        return np.asarray(whole)

    return Predictor(
        lambda images: probabilities(images).argmax(axis=-1).astype(np.uint8), probabilities
    )


def resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Pixels (H, W, C) as (height, width, C): by area where they shrink, else bilinearly."""
    shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    channels = (np.ascontiguousarray(pixels[..., n]) for n in range(pixels.shape[2]))
    parts = [np.asarray(Image.fromarray(one).resize((width, height), how)) for one in channels]
    return np.stack(parts, axis=-1)


def scale_in_words(scale: Scale | None, request: ScaleRequest) -> str:
    """At which size images are seen, as a score says it."""
    match request.kind:
        case "native":
            return "native"
        case "factor":
            return f"{request.value:g}"
        case "longest":
            return f"longest={request.value:g}"
    return f"auto ({scale.text if scale else 'native'})"
