"""From a trained network to the artefact that is served (design: the SavedModel, its signatures,
its contract).

The folder is verified against the network before it appears, whole or not at all.
"""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from models.architectures.loading import load_saved_model
from models.contract import (
    MODEL_CARD_PATH,
    RECIPE_PATH,
    Contract,
    Overlap,
    atomic,
    file_digests,
    write_contract,
)
from models.export.answers import class_map_of, probabilities_of
from models.export.artefact import ExportError, Measure, ModelFacts, version_folder
from models.export.format_options import FormatName
from models.export.formats import Described, require_installed, write_formats
from models.export.odd_sizes import VERIFIED_SIZES, smooth_noise
from models.export.openvino import convert_to_openvino, openvino_is_installed, write_openvino
from models.training.evaluation import openvino_predictor

logger = logging.getLogger(__name__)

REQUIRED_AGREEMENT = 0.9999  # of pixels: other kernels round differently
# a network that has hardly begun to learn gives two classes the same logit; either is right
TIED_LOGITS = 1e-6


class Exportable(Protocol):
    """What export asks of a network: pixel values 0–255 (N, H, W, channels) to logits (N, H, W,
    classes), and its facts."""

    @property
    def channels(self) -> int: ...
    @property
    def classes(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def receptive_field_radius(self) -> int | None: ...
    @property
    def parameters(self) -> int: ...
    @property
    def variables(self) -> list[Any]:
        """The tf.Variables that the logits depend on."""

    def __call__(self, images: tf.Tensor, training: bool = False) -> tf.Tensor: ...


def export_network(
    network: Exportable,
    facts: ModelFacts,
    card: str,
    store: Path,
    version: int | None = None,
    *,
    recipe: str | None = None,
    with_openvino: bool | None = False,
    formats: Sequence[FormatName] = (),
    measure: Measure | None = None,
) -> Path:
    """Write `<store>/<name>/<version>` and give its path; without a version, the next one.

    `recipe` is that of its training, as TOML. `with_openvino` writes OpenVINO's fp32 files beside
    the SavedModel, None where it can convert the network; `formats` are files of other runtimes.
    `measure` completes contract and card. Raises ExportError, and whatever `measure` does.
    """
    require_installed(formats)
    if "openvino" in formats:
        with_openvino = True
    target = version_folder(store, facts.name, version)
    if network.classes != len(facts.classes):
        names = ", ".join(c.name for c in facts.classes)
        raise ExportError(
            f"the network has {network.classes} classes, and {len(facts.classes)} are named: "
            f"{names}; name its own"
        )
    with atomic.new_folder(target) as folder:
        write_saved_model(network, folder, facts.overlap)
        openvino_file = None if with_openvino is False else _write_openvino(folder, with_openvino)
        _verify(network, folder, openvino_file, facts.overlap)
        (folder / MODEL_CARD_PATH).parent.mkdir(exist_ok=True)
        (folder / MODEL_CARD_PATH).write_text(card)
        others = [name for name in formats if name != "openvino"]
        described = Described(facts.name, network.channels, facts.classes, card)
        write_formats(folder, others, described)
        if recipe is not None:
            (folder / RECIPE_PATH).write_text(recipe)
        contract = _contract(network, facts, folder)
        write_contract(folder, contract if measure is None else measure(folder, contract))
    return target


def write_saved_model(network: Exportable, folder: Path, overlap: Overlap | None = None) -> None:
    """Write the network's SavedModel with its three signatures; where classes overlap, its logits
    leave out the background."""
    channels = network.channels
    images = tf.TensorSpec((None, None, None, channels), tf.uint8, name="images")
    # TensorFlow Serving's REST interface takes names that end in _bytes as base64.
    image_bytes = tf.TensorSpec((1,), tf.string, name="image_bytes")

    @tf.function(input_signature=[images])  # type: ignore[untyped-decorator]
    def logits(images: tf.Tensor) -> tf.Tensor:
        """The network, which the file then holds once for all signatures."""
        return network(tf.cast(images, tf.float32), training=False)

    def class_map(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"class_map": class_map_of(logits(images), overlap)}

    def probabilities(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": probabilities_of(logits(images), overlap)}

    def serve_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.io.decode_image(image_bytes[0], channels=channels, expand_animations=False)
        return class_map(image[tf.newaxis])

    # keras.export.ExportArchive would write every weight twice (Keras 3.15).
    module = tf.Module()
    module.weights = network.variables
    signatures = {
        "serving_default": tf.function(class_map, input_signature=[images]),
        "probabilities": tf.function(probabilities, input_signature=[images]),
        "serve_bytes": tf.function(serve_bytes, input_signature=[image_bytes]),
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)


def _write_openvino(folder: Path, required: bool | None) -> Path | None:
    """OpenVINO's fp32 file, or None where it is not required and OpenVINO is absent or cannot
    convert the network."""
    if not openvino_is_installed():
        if required:
            raise ExportError("openvino is not installed; the cpu extra brings it")
        return None
    try:
        model = convert_to_openvino(folder)
    except Exception as error:
        cause = str(error).strip().splitlines()[-1]
        if required:
            raise ExportError(f"OpenVINO cannot convert this network: {cause}") from error
        logger.warning("OpenVINO cannot convert this network, TensorFlow will run it: %s", cause)
        return None
    return write_openvino(model, folder, "fp32")


def _contract(network: Exportable, facts: ModelFacts, folder: Path) -> Contract:
    return Contract(
        name=facts.name,
        classes=facts.classes,
        background=facts.background,
        ignore=facts.ignore,
        channels=network.channels,
        stride=network.stride,
        receptive_field_radius=network.receptive_field_radius,
        architecture=facts.architecture,
        upsampling=facts.upsampling,
        parameters=network.parameters,
        scale=facts.scale,
        intensity=facts.intensity,
        overlap=facts.overlap,
        training=facts.training,
        files=file_digests(folder),
    )


def _verify(
    network: Exportable, folder: Path, openvino_file: Path | None, overlap: Overlap | None
) -> None:
    """Compare all three signatures, and OpenVINO's file, with the network on images of odd sizes.
    Raises ExportError."""
    by_openvino = None if openvino_file is None else openvino_predictor(openvino_file, "fp32")
    loaded = load_saved_model(folder)
    signatures = loaded.signatures
    draw = np.random.default_rng(0)
    for height, width in VERIFIED_SIZES:
        image = smooth_noise(draw, height, width, network.channels)
        logits = np.asarray(network(image[np.newaxis].astype(np.float32), training=False))
        batch = tf.constant(image[np.newaxis])
        answered = signatures["probabilities"](images=batch)["probabilities"]
        encoded = tf.constant([_png(image)])
        answers = {
            **(
                {}
                if by_openvino is None
                else {"class_map of OpenVINO": by_openvino.class_maps(image[np.newaxis])}
            ),
            "serving_default": signatures["serving_default"](images=batch)["class_map"],
            "probabilities": _classes_of(answered, overlap),
            "serve_bytes": signatures["serve_bytes"](image_bytes=encoded)["class_map"],
        }
        for signature, answer in answers.items():
            agreement = _agreement(np.asarray(answer), logits, overlap)
            if agreement < REQUIRED_AGREEMENT:
                raise ExportError(
                    f"signature {signature} agrees with the network on {agreement:.2%} of the "
                    f"pixels of a {width}×{height} image; {REQUIRED_AGREEMENT:.2%} are required. "
                    "Nothing was written"
                )


def _classes_of(probabilities: tf.Tensor, overlap: Overlap | None) -> tf.Tensor:
    """The class map (N, H, W) that probabilities (N, H, W, classes) stand for."""
    if overlap is None:
        return tf.argmax(probabilities, axis=-1)
    each = tf.clip_by_value(probabilities[..., 1:], 1e-7, 1 - 1e-7)
    return class_map_of(tf.math.log(each) - tf.math.log1p(-each), overlap)


def _agreement(
    class_map: NDArray[np.integer[Any]], logits: NDArray[np.float32], overlap: Overlap | None
) -> float:
    """The share of pixels in `class_map` (N, H, W) whose class has the largest of `logits` (N, H,
    W, classes), or one that softmax in float32 cannot tell from it; or, where classes overlap, is
    on top."""
    if overlap is not None:
        return float(np.mean(class_map == np.asarray(class_map_of(logits, overlap))))
    answered = np.take_along_axis(logits, class_map[..., np.newaxis].astype(np.intp), axis=-1)
    return float(np.mean(logits.max(axis=-1) - answered[..., 0] <= TIED_LOGITS))


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "png")
    return buffer.getvalue()
