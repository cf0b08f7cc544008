"""The cut graph with the interpolation done by us, against the whole graph."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from service.domain.source import Window
from service.domain.upsampling import Grid, upsampled_class_maps
from service.runtimes.tensorflow_graph import OnCallingThread, cut_at_logits

FACTOR = 4

Tail = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def frozen(tail: Tail) -> Any:
    """From images to what `tail` makes of their low-resolution logits and the images."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])  # type: ignore[untyped-decorator]
    def class_map(images: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(tf.cast(images, tf.float32), [[0, 0], [0, 3], [0, 3], [0, 0]], "REFLECT")
        return tail(tf.nn.avg_pool2d(padded, FACTOR, FACTOR, "VALID"), images)

    return convert_variables_to_constants_v2(
        class_map.get_concrete_function(), lower_control_flow=False
    )


def resized(logits: tf.Tensor, method: str = "bilinear") -> tf.Tensor:
    return tf.image.resize(logits, tf.shape(logits)[1:3] * FACTOR, method=method)


def cropped(logits: tf.Tensor, images: tf.Tensor, start: int = 0, step: int = 1) -> tf.Tensor:
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    return logits[:, start:height:step, :width]


def strongest(logits: tf.Tensor, axis: int = -1) -> tf.Tensor:
    return tf.cast(tf.argmax(logits, axis=axis), tf.uint8)


@pytest.mark.parametrize("size", [(4, 5), (16, 24), (37, 42)])
def test_the_cut_graph_and_our_interpolation_equal_the_whole(size: tuple[int, int]) -> None:
    whole = frozen(lambda logits, images: strongest(cropped(resized(logits), images)))
    cut = cut_at_logits(whole)
    assert cut is not None
    assert cut.factor == FACTOR
    images = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
    (planes,) = cut.function(tf.constant(images))
    found = upsampled_class_maps(planes.numpy(), Grid((FACTOR, FACTOR)), Window(0, 0, *size))
    np.testing.assert_array_equal(found, whole(tf.constant(images))[0].numpy())


@pytest.mark.parametrize(
    "tail",
    {
        "nearest": lambda logits, images: strongest(cropped(resized(logits, "nearest"), images)),
        "cubic": lambda logits, images: strongest(cropped(resized(logits, "bicubic"), images)),
        "aligned corners": lambda logits, images: strongest(
            cropped(
                tf.compat.v1.image.resize_bilinear(
                    logits, tf.shape(logits)[1:3] * FACTOR, align_corners=True
                ),
                images,
            )
        ),
        "a size of its own": lambda logits, images: strongest(
            cropped(tf.image.resize(logits, (64, 64)), images)
        ),
        "of the images": lambda logits, images: strongest(
            cropped(tf.image.resize(logits, tf.shape(images)[1:3] * 2), images)
        ),
        "cropped elsewhere": lambda logits, images: strongest(
            cropped(resized(logits), images, start=1)
        ),
        "every second row": lambda logits, images: strongest(
            cropped(resized(logits), images, step=2)
        ),
        "along a row": lambda logits, images: strongest(cropped(resized(logits), images), axis=2),
        "shifted after it": lambda logits, images: strongest(cropped(resized(logits), images)) + 1,
        "not interpolated": lambda logits, images: strongest(cropped(logits, images)),
    }.items(),
    ids=lambda case: case[0],
)
def test_what_ends_otherwise_is_left_whole(tail: tuple[str, Tail]) -> None:
    assert cut_at_logits(frozen(tail[1])) is None


IMAGES = np.random.default_rng(1).integers(0, 256, (2, 8, 12, 3), np.uint8)


def test_what_runs_on_the_calling_thread_gives_what_the_function_gives() -> None:
    whole = frozen(lambda logits, images: strongest(cropped(resized(logits), images)))
    found = OnCallingThread(whole)(IMAGES)
    np.testing.assert_array_equal(found, whole(tf.constant(IMAGES))[0].numpy())


def test_no_thread_but_the_calling_one_computes() -> None:
    names: list[str] = []

    def record(logits: Any) -> Any:
        names.append(threading.current_thread().name)
        return logits

    def named(logits: tf.Tensor, _images: tf.Tensor) -> tf.Tensor:
        return sum(tf.numpy_function(record, [logits * factor], tf.float32) for factor in range(4))

    run = OnCallingThread(frozen(named))
    caller = threading.Thread(target=run, args=(IMAGES,), name="the caller")
    caller.start()
    caller.join()
    assert names == ["the caller"] * 4
