"""A model one can solve in one's head: the class of a pixel is its strongest channel.

Red, green and blue are classes 0, 1 and 2; ties go to the first. Gray models have two classes, dark
(< 128) and bright. The probabilities are the channels' shares. It is a real SavedModel with all
that a trained one has.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.contract import Contract, SegmentationClass, file_digests, write_contract
from models.contract.preprocessing import Intensity
from models.export.openvino import convert_to_openvino, write_openvino

RGB_CLASSES = (
    SegmentationClass(id=0, name="red", color="#e53935"),
    SegmentationClass(id=1, name="green", color="#43a047"),
    SegmentationClass(id=2, name="blue", color="#1e88e5"),
)
GRAY_CLASSES = (
    SegmentationClass(id=0, name="dark", color="#000000"),
    SegmentationClass(id=1, name="bright", color="#ffffff"),
)


def contract_with(**facts: Any) -> Contract:
    """The solvable model's contract, with the facts that a test is about; without files if it names
    none."""
    usual = {
        "name": "m",
        "classes": RGB_CLASSES,
        "channels": 3,
        "stride": 8,
        "receptive_field_radius": 5,
        "architecture": "strongest-channel",
        "upsampling": "none",
        "parameters": 1,
        "files": {},
    }
    return Contract(**(usual | facts))


def contract_of_depth(channels: int, rule: Intensity | None) -> Contract:
    """Of a model that has deep pictures read by `rule`."""
    return contract_with(channels=channels, intensity=rule)


def solve(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class map (H, W) that the solvable model gives an image (H, W, 3) or (H, W, 1)."""
    if image.shape[-1] == 1:
        return (image[..., 0] >= 128).astype(np.uint8)
    strongest: NDArray[np.uint8] = image.argmax(axis=-1).astype(np.uint8)
    return strongest


class _StrongestChannel(tf.Module):  # type: ignore[misc]
    def __init__(self, channels: int, gains: Sequence[float]) -> None:
        super().__init__()
        self.channels, self.gains = channels, list(gains)
        self.scale = tf.Variable(1.0)  # a real model has variables, so its folder has their files

    def _shares(self, images: tf.Tensor) -> tf.Tensor:
        values = tf.cast(images, tf.float32) * self.scale
        if self.channels == 1:
            values = tf.concat([255.0 - values, values], axis=-1)
        else:
            values = values * tf.constant(self.gains)
        values = values + 1e-3
        return values / tf.reduce_sum(values, axis=-1, keepdims=True)

    def class_map(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"class_map": tf.cast(tf.argmax(self._shares(images), axis=-1), tf.uint8)}

    def probabilities(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": self._shares(images)}

    def serve_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.io.decode_image(image_bytes[0], channels=self.channels, expand_animations=False)
        return self.class_map(image[tf.newaxis])


def save_solvable_model(
    store: Path,
    name: str = "solvable",
    version: int = 1,
    *,
    channels: Literal[1, 3] = 3,
    stride: int = 8,
    receptive_field_radius: int | None = 5,
    background: int | None = None,
    ignore: int | None = 255,
    with_openvino: bool = False,
    gains: Sequence[float] = (1.0, 1.0, 1.0),
) -> Path:
    """Write the artefact `<store>/<name>/<version>` and give its path.

    Colors are multiplied by `gains` first, so that a version can differ from another.
    """
    artefact = store / name / str(version)
    module = _StrongestChannel(channels, gains)
    images = tf.TensorSpec((None, None, None, channels), tf.uint8, name="images")
    image_bytes = tf.TensorSpec((1,), tf.string, name="image_bytes")
    tf.saved_model.save(
        module,
        str(artefact),
        signatures={
            "serving_default": tf.function(module.class_map, input_signature=[images]),
            "probabilities": tf.function(module.probabilities, input_signature=[images]),
            "serve_bytes": tf.function(module.serve_bytes, input_signature=[image_bytes]),
        },
    )
    if with_openvino:
        write_openvino(convert_to_openvino(artefact), artefact, "fp32")
    (artefact / "assets.extra").mkdir(exist_ok=True)
    (artefact / "assets.extra" / "model_card.md").write_text(
        f"# {name}\n\nThe class is the strongest channel.\n"
    )
    contract = contract_with(
        name=name,
        classes=RGB_CLASSES if channels == 3 else GRAY_CLASSES,
        background=background,
        ignore=ignore,
        channels=channels,
        stride=stride,
        receptive_field_radius=receptive_field_radius,
        files=file_digests(artefact),
    )
    write_contract(artefact, contract)
    return artefact
