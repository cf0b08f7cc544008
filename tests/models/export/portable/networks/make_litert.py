"""Make the LiteRT files of this folder, by TensorFlow: one small network in floating point, in int8
with float inputs and outputs, and in int8 throughout."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

HERE = Path(__file__).parent


def network() -> keras.Model:
    keras.utils.set_random_seed(3)

    def weights(std: float) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=std)

    same = {"padding": "same", "activation": "relu"}
    x = image = keras.Input((96, 96, 3), batch_size=1)
    x = keras.layers.Conv2D(8, 3, kernel_initializer=weights(0.5), **same)(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(8, 3, kernel_initializer=weights(0.3), **same)(x)
    x = keras.layers.Conv2DTranspose(8, 2, strides=2)(x)
    return keras.Model(image, keras.layers.Conv2D(3, 1, kernel_initializer=weights(1.0))(x))


def pictures() -> Iterator[list[NDArray[np.float32]]]:
    draw = np.random.default_rng(0)
    for _ in range(20):
        yield [draw.random((1, 12, 12, 3), np.float32).repeat(8, 1).repeat(8, 2)]


if __name__ == "__main__":
    model = network()
    floating = tf.lite.TFLiteConverter.from_keras_model(model)
    (HERE / "floating.tflite").write_bytes(floating.convert())
    int8 = tf.lite.TFLiteConverter.from_keras_model(model)
    int8.optimizations = [tf.lite.Optimize.DEFAULT]
    int8.representative_dataset = pictures
    int8.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    (HERE / "int8.tflite").write_bytes(int8.convert())
    int8.inference_input_type, int8.inference_output_type = tf.uint8, tf.int8
    (HERE / "uint8.tflite").write_bytes(int8.convert())
