"""A network as KerasCV and KerasHub build them (DeepLabV3+, Chen et al. 2018): it rescales pixels
itself, sees the whole picture by its mean, and enlarges bilinearly; one size alone."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from models.cli import main
from tests.models.export.test_adopt import blobs
from tests.service.serving import class_map_of, serving

SIZE = (96, 128)
CLASSES = 4


def deeplab() -> keras.Model:
    keras.utils.set_random_seed(4)

    def block(x: keras.KerasTensor, filters: int, kernel: int, **options: int) -> keras.KerasTensor:
        convolution = keras.layers.Conv2D(
            filters,
            kernel,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            **options,
        )
        return keras.layers.ReLU()(keras.layers.BatchNormalization()(convolution(x)))

    image = keras.Input((*SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    low = block(block(x, 12, 3, strides=2), 16, 3, strides=2)
    high = block(low, 24, 3, strides=2)
    mean = block(keras.layers.GlobalAveragePooling2D(keepdims=True)(high), 12, 1)
    mean = keras.layers.UpSampling2D((SIZE[0] // 8, SIZE[1] // 8), interpolation="bilinear")(mean)
    pyramid = [block(high, 12, 3, dilation_rate=rate) for rate in (1, 2, 4)]
    x = block(keras.layers.Concatenate()([*pyramid, mean]), 16, 1)
    x = keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = block(keras.layers.Concatenate()([x, block(low, 6, 1)]), 16, 3)
    x = keras.layers.UpSampling2D(4, interpolation="bilinear")(x)
    x = keras.layers.Conv2D(CLASSES, 1, kernel_initializer="he_normal")(x)
    return keras.Model(image, keras.layers.Softmax()(x), name="deeplab_v3_plus")


def test_what_is_served_is_what_keras_says(tmp_path: Path) -> None:
    theirs = deeplab()
    theirs.save(tmp_path / "theirs.keras")
    command = ["adopt", str(tmp_path / "theirs.keras"), "--name", "theirs", "--yes"]
    assert main([*command, "--classes", "a,b,c,d", "--store", str(tmp_path / "store")]) == 0
    with serving(tmp_path / "store") as server:
        for height, width in (SIZE, (67, 90), (200, 151)):
            image = blobs(height, width, seed=width)
            seen = tf.image.resize(image[np.newaxis].astype(np.float32), SIZE)
            shares = tf.image.resize(theirs(seen, training=False), (height, width))
            expected = np.asarray(shares)[0].argmax(axis=-1)
            served = class_map_of(server.segment(image, scale="native"))
            assert np.mean(served == expected) >= 0.999
            assert len(np.unique(expected)) > 1
