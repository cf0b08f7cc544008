"""Scores of anything that turns an image into a class map, on one split of a dataset."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from models.contract import OPENVINO_OUTPUTS
from models.data.dataset import Sample
from models.data.parallel import read_ahead
from models.training.metrics import ConfusionMatrix

Predict = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def evaluate(
    predict: Predict, samples: Sequence[Sample], *, classes: int, channels: int, title: str
) -> ConfusionMatrix:
    """Count `predict` (image uint8 (H, W, C) to class map uint8 (H, W)) against the masks. Raises DatasetError."""
    confusion = ConfusionMatrix(classes)
    pixels = tqdm(
        read_ahead(lambda sample: sample.read(channels), samples),
        desc=title,
        total=len(samples),
        unit="image",
        leave=False,
        disable=None,
    )
    for image, mask in pixels:
        confusion.add(mask, predict(image))
    return confusion


def network_predict(network: keras.Model) -> Predict:
    """`Predict` by a Keras network of logits."""

    @tf.function(
        input_signature=[tf.TensorSpec((1, None, None, network.input_shape[-1]), tf.uint8)]
    )  # type: ignore[untyped-decorator]
    def class_map(images: tf.Tensor) -> tf.Tensor:
        logits = network(tf.cast(images, tf.float32), training=False)
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)

    return lambda image: np.asarray(class_map(tf.constant(image[np.newaxis]))[0])


def saved_model_predict(artefact: Path) -> Predict:
    """`Predict` by an exported artefact's `serving_default` signature."""
    loaded = tf.saved_model.load(str(artefact))
    signature = loaded.signatures["serving_default"]

    def class_map(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(signature(images=tf.constant(image[np.newaxis]))["class_map"][0])

    class_map.loaded = loaded  # type: ignore[attr-defined]  # variables live as long as their module
    return class_map


def openvino_predict(model: Path, precision: Literal["fp32", "bf16"]) -> Predict:
    """`Predict` by an artefact's OpenVINO file, with what is not int8 in it computed in `precision`."""
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision]}
    compiled = openvino.Core().compile_model(model, "CPU", hints)
    request = compiled.create_infer_request()
    place = OPENVINO_OUTPUTS.index("class_map")

    def class_map(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        request.infer([image[np.newaxis]])
        return np.array(request.get_output_tensor(place).data[0])

    return class_map
