"""An artefact's LiteRT file, converted from its SavedModel, and what runs it."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures.loading import load_saved_model
from models.contract import SegmentationClass
from models.training.evaluation import Images, Predictor


def write_litert(
    artefact: Path, path: Path, classes: Sequence[SegmentationClass], card: str
) -> None:
    """Write `path`: uint8 `images` (N, H, W, C) of any size, set by `resize_tensor_input`, to
    `class_map` uint8 (N, H, W) and `probabilities` float32 (N, H, W, classes).

    labels.txt, classes.json and model_card.md are files packed with it, as LiteRT's metadata are:
    `unzip` shows them.
    """
    loaded = load_saved_model(artefact)
    signatures = loaded.signatures
    _, keywords = signatures["serving_default"].structured_input_signature

    @tf.function(input_signature=[keywords["images"]])  # type: ignore[untyped-decorator]
    def both(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "class_map": signatures["serving_default"](images=images)["class_map"],
            "probabilities": signatures["probabilities"](images=images)["probabilities"],
        }

    module = tf.Module()
    module.both, module.loaded = both, loaded
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [both.get_concrete_function()], module
    )
    path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("labels.txt", "".join(f"{c.name}\n" for c in classes))
        document = json.dumps([c.model_dump() for c in classes], ensure_ascii=False)
        packed.writestr("classes.json", document)
        packed.writestr("model_card.md", card)


def litert_predictor(path: Path) -> Predictor:
    """Predict by an exported LiteRT file in ai-edge-litert."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    (given,) = interpreter.get_input_details()
    by_dtype = {
        np.dtype(one["dtype"]).kind: one["index"] for one in interpreter.get_output_details()
    }

    def answer(kind: str, images: Images) -> NDArray[np.generic]:
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(by_dtype[kind]))

    return Predictor(
        lambda images: answer("u", images),  # type: ignore[arg-type, return-value]
        lambda images: answer("f", images),  # type: ignore[arg-type, return-value]
    )
