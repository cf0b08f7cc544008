"""Scores of anything that turns images into classes, on one split of a dataset."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from models.architectures.loading import load_saved_model
from models.contract import OPENVINO_OUTPUTS
from models.contract.openvino_core import openvino_core
from models.data.dataset import Dataset, Sample
from models.data.parallel import read_ahead
from models.training.metrics import ConfusionMatrix

MOST_PIXELS = 2**22  # of a batch of large images: their probabilities are held together

Images = NDArray[np.uint8]
ClassMaps = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


class EvaluationStoppedError(Exception):
    """An evaluation was asked to stop before its end."""


@dataclass(frozen=True)
class Predictor:
    """Images uint8 (N, H, W, C) to class maps uint8 (N, H, W), and to probabilities float32 (N, H,
    W, classes)."""

    class_maps: Callable[[Images], ClassMaps]
    probabilities: Callable[[Images], Probabilities]


@dataclass(frozen=True)
class EvalBatch:
    """One batch of an evaluation: the samples, their images (N, H, W, C) and masks (N, H, W), all
    of one size."""

    samples: tuple[Sample, ...]
    images: Images
    masks: NDArray[np.uint8]


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    split: str,
    *,
    batch_size: int,
    stop: threading.Event | None = None,
) -> ConfusionMatrix:
    """Count the class maps against the split's masks. Raises DatasetError, and
    EvaluationStoppedError where `stop` is set."""
    confusion = ConfusionMatrix(len(dataset.class_list.classes))
    for shown in eval_batches(dataset, split, batch_size):
        if stop is not None and stop.is_set():
            raise EvaluationStoppedError
        confusion.add(shown.masks, predictor.class_maps(shown.images))
    return confusion


def eval_batches(dataset: Dataset, split: str, batch_size: int) -> Iterator[EvalBatch]:
    """The split in order, neighbours of one size together, with a progress bar. Raises
    DatasetError."""
    samples = dataset.split(split)
    with tqdm(desc=split, total=len(samples), unit="image", leave=False, disable=None) as progress:
        waiting: list[tuple[Sample, Images, NDArray[np.uint8]]] = []
        for item in read_ahead(partial(_read, channels=dataset.channels), samples):
            most = max(1, min(batch_size, MOST_PIXELS // item[2].size))
            if waiting and (len(waiting) >= most or waiting[0][1].shape != item[1].shape):
                yield _stack(waiting)
                progress.update(len(waiting))
                waiting = []
            waiting.append(item)
        yield _stack(waiting)
        progress.update(len(waiting))


def network_predictor(network: keras.Model) -> Predictor:
    """Predict by a Keras network of logits."""
    images = tf.TensorSpec((None, None, None, network.input_shape[-1]), tf.uint8)

    @tf.function(input_signature=[images])  # type: ignore[untyped-decorator]
    def class_maps(images: tf.Tensor) -> tf.Tensor:
        logits = network(tf.cast(images, tf.float32), training=False)
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)

    @tf.function(input_signature=[images])  # type: ignore[untyped-decorator]
    def probabilities(images: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(network(tf.cast(images, tf.float32), training=False))

    return Predictor(
        lambda images: np.asarray(class_maps(tf.constant(images))),
        lambda images: np.asarray(probabilities(tf.constant(images))),
    )


def saved_model_predictor(artefact: Path) -> Predictor:
    """Predict by an exported artefact's signatures."""
    loaded = load_saved_model(artefact)

    def answer(signature: str, name: str, images: Images) -> NDArray[np.generic]:
        # `loaded` is named here since variables live as long as their module.
        return np.asarray(loaded.signatures[signature](images=tf.constant(images))[name])

    return Predictor(
        lambda images: answer("serving_default", "class_map", images),  # type: ignore[arg-type, return-value]
        lambda images: answer("probabilities", "probabilities", images),  # type: ignore[arg-type, return-value]
    )


def openvino_predictor(model: Path, precision: Literal["fp32", "bf16"]) -> Predictor:
    """Predict by an artefact's OpenVINO file, with what is not int8 in it computed in
    `precision`."""
    hints = {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision]}
    compiled = openvino_core().compile_model(model, "CPU", hints)
    request = compiled.create_infer_request()

    def answer(name: str, images: Images) -> NDArray[np.generic]:
        request.infer([images])
        return np.array(request.get_output_tensor(OPENVINO_OUTPUTS.index(name)).data)

    return Predictor(
        lambda images: answer("class_map", images),  # type: ignore[arg-type, return-value]
        lambda images: answer("probabilities", images),  # type: ignore[arg-type, return-value]
    )


def with_flip(predictor: Predictor) -> Predictor:
    """Test-time augmentation: the mean of the probabilities of the images and of their mirror
    images."""

    def probabilities(images: Images) -> Probabilities:
        mirrored = predictor.probabilities(images[:, :, ::-1])[:, :, ::-1]
        mean: Probabilities = (predictor.probabilities(images) + mirrored) / np.float32(2)
        return mean

    return by_probabilities(probabilities)


def with_sliding_window(predictor: Predictor, window: tuple[int, int]) -> Predictor:
    """Sliding windows of (height, width), each half over the next; their probabilities count by a
    Gaussian of an eighth of the window about its middle (nnU-Net, Isensee et al. 2021). An image
    that is no larger goes through as it is."""
    height, width = window
    weight = np.outer(_gaussian(height), _gaussian(width)).astype(np.float32)[..., np.newaxis]

    def probabilities(images: Images) -> Probabilities:
        full = images.shape[1:3]
        total: NDArray[np.float32] | None = None
        weights = np.zeros((*full, 1), np.float32)
        for top in _origins(full[0], height):
            for left in _origins(full[1], width):
                place = np.s_[top : top + height, left : left + width]
                part = predictor.probabilities(images[:, *place])
                here = weight[: part.shape[1], : part.shape[2]]
                if total is None:
                    total = np.zeros((len(images), *full, part.shape[-1]), np.float32)
                total[:, *place] += part * here
                weights[place] += here
        assert total is not None  # an image has at least one window
        total /= weights
        return total

    return by_probabilities(probabilities)


def by_probabilities(probabilities: Callable[[Images], Probabilities]) -> Predictor:
    """Predict the class of the highest probability."""
    return Predictor(
        lambda images: probabilities(images).argmax(axis=-1).astype(np.uint8), probabilities
    )


def _gaussian(size: int) -> NDArray[np.float64]:
    bell: NDArray[np.float64] = np.exp(
        -np.square((np.arange(size) + 0.5 - size / 2) / (size / 8)) / 2
    )
    return bell


def _origins(size: int, window: int) -> list[int]:
    """Half a window apart, the last one at the end."""
    last = max(size - window, 0)
    return [*range(0, last, max(window // 2, 1)), last]


def _read(sample: Sample, channels: int) -> tuple[Sample, Images, NDArray[np.uint8]]:
    return sample, *sample.read(channels)


def _stack(items: Sequence[tuple[Sample, Images, NDArray[np.uint8]]]) -> EvalBatch:
    samples, images, masks = zip(*items, strict=True)
    return EvalBatch(samples, np.stack(images), np.stack(masks))
