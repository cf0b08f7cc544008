"""From a trained network to the artefact that is served (design: the SavedModel, its signatures, its contract).

The folder is built beside its place, verified against the network, and renamed: it appears whole or not at all.
"""

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from models.architectures.blocks import MirrorPad
from models.architectures.receptive_field import receptive_field_radius
from models.contract import (
    MODEL_CARD_PATH,
    Contract,
    SegmentationClass,
    Training,
    file_digests,
    versions,
    write_contract,
)
from models.export.foreign import ForeignNetwork

Network: TypeAlias = "keras.Model | ForeignNetwork"

REQUIRED_AGREEMENT = 0.9999  # of pixels; other kernels may round a tie of two classes the other way
VERIFIED_SIZES = ((1, 1), (1, 37), (31, 47), (96, 64), (131, 257))  # H, W


class ExportError(Exception):
    """The artefact cannot be written, or does not do what the network does; no folder was left behind."""


@dataclass(frozen=True)
class ModelFacts:
    """What the graph cannot say, and the network object cannot either."""

    name: str
    classes: tuple[SegmentationClass, ...]
    background: int | None
    ignore: int | None
    architecture: str
    upsampling: str
    training: Training | None


def export_network(
    network: Network, facts: ModelFacts, card: str, store: Path, version: int | None = None
) -> Path:
    """Write `<store>/<name>/<version>` and give its path; without a version, the next one.

    `network` maps pixel values 0–255 (N, H, W, C) to logits (N, H, W, classes). Raises ExportError.
    """
    model_folder = store / facts.name
    model_folder.mkdir(parents=True, exist_ok=True)
    if version is None:
        version = max(versions(model_folder), default=0) + 1
    target = model_folder / str(version)
    if target.exists():
        raise ExportError(f"{target} is there already; choose another --version or remove it")
    beside = model_folder / f".{version}.{os.getpid()}.partial"
    try:
        _write_saved_model(network, beside)
        _verify(network, beside)
        (beside / MODEL_CARD_PATH).parent.mkdir(exist_ok=True)
        (beside / MODEL_CARD_PATH).write_text(card)
        write_contract(beside, _contract(network, facts, beside))
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def _write_saved_model(network: Network, folder: Path) -> None:
    channels = network.input_shape[-1]
    images = tf.TensorSpec((None, None, None, channels), tf.uint8, name="images")
    # TensorFlow Serving's REST interface takes names that end in _bytes as base64.
    image_bytes = tf.TensorSpec((1,), tf.string, name="image_bytes")

    def class_map(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = network(tf.cast(images, tf.float32), training=False)
        return {"class_map": tf.cast(tf.argmax(logits, axis=-1), tf.uint8)}

    def probabilities(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = network(tf.cast(images, tf.float32), training=False)
        return {"probabilities": tf.nn.softmax(tf.cast(logits, tf.float32))}

    def serve_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.io.decode_image(image_bytes[0], channels=channels, expand_animations=False)
        return class_map(image[tf.newaxis])

    # keras.export.ExportArchive would write every weight twice (Keras 3.15).
    module = tf.Module()
    module.weights = [weight.value for weight in network.weights]
    signatures = {
        "serving_default": tf.function(class_map, input_signature=[images]),
        "probabilities": tf.function(probabilities, input_signature=[images]),
        "serve_bytes": tf.function(serve_bytes, input_signature=[image_bytes]),
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)


def _contract(network: Network, facts: ModelFacts, folder: Path) -> Contract:
    stride, radius = _geometry(network)
    return Contract(
        name=facts.name,
        classes=facts.classes,
        background=facts.background,
        ignore=facts.ignore,
        channels=network.input_shape[-1],
        stride=stride,
        receptive_field_radius=radius,
        architecture=facts.architecture,
        upsampling=facts.upsampling,
        parameters=network.count_params(),
        training=facts.training,
        files=file_digests(folder),
    )


def _geometry(network: Network) -> tuple[int, int | None]:
    """Stride and receptive-field radius: a foreign network is told its own, one of ours is looked through."""
    if isinstance(network, ForeignNetwork):
        return network.stride, network.receptive_field_radius
    stride = next(layer.stride for layer in network.layers if isinstance(layer, MirrorPad))
    return stride, receptive_field_radius(network)


def _verify(network: Network, folder: Path) -> None:
    """Compare all three signatures with the network on images of odd sizes. Raises ExportError."""
    signatures = tf.saved_model.load(str(folder)).signatures
    draw = np.random.default_rng(0)
    for height, width in VERIFIED_SIZES:
        image = _smooth_noise(draw, height, width, network.input_shape[-1])
        logits = np.asarray(network(image[np.newaxis].astype(np.float32), training=False))
        expected = logits.argmax(axis=-1)
        batch = tf.constant(image[np.newaxis])
        probabilities = np.asarray(signatures["probabilities"](images=batch)["probabilities"])
        encoded = tf.constant([_png(image)])
        answers = {
            "serving_default": signatures["serving_default"](images=batch)["class_map"],
            "probabilities": probabilities.argmax(axis=-1),
            "serve_bytes": signatures["serve_bytes"](image_bytes=encoded)["class_map"],
        }
        for signature, answer in answers.items():
            agreement = float(np.mean(np.asarray(answer) == expected))
            if agreement < REQUIRED_AGREEMENT:
                raise ExportError(
                    f"signature {signature} agrees with the network on {agreement:.2%} of the pixels of a "
                    f"{width}×{height} image; {REQUIRED_AGREEMENT:.2%} are required. Nothing was written"
                )


def _smooth_noise(
    draw: np.random.Generator, height: int, width: int, channels: int
) -> NDArray[np.uint8]:
    """Blobs of random colour: noise alone would leave every pixel's class to chance."""
    coarse = draw.integers(0, 256, (-(-height // 16), -(-width // 16), channels))
    fine = draw.integers(-20, 21, (height, width, channels))
    blobs = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    image: NDArray[np.uint8] = np.clip(blobs + fine, 0, 255).astype(np.uint8)
    return image


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "png")
    return buffer.getvalue()
