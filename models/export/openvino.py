"""An artefact's OpenVINO files, converted from its SavedModel."""

import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from models.architectures.loading import load_saved_model
from models.contract import OPENVINO_OUTPUTS, StoredPrecision, openvino_path
from models.contract.amx import avoid_amx
from models.contract.usage_reports import report_nothing

if TYPE_CHECKING:
    import openvino

_CONVOLUTIONS = {"Convolution": "conv", "GroupConvolution": "depthwise"}


def openvino_is_installed() -> bool:
    return find_spec("openvino") is not None


def convert_to_openvino(artefact: Path) -> "openvino.Model":
    """One model with both outputs of `OPENVINO_OUTPUTS`; what the two signatures share is in it
    once.

    OpenVINO 2026.4 reads a SavedModel with BatchNorm wrongly ("Cannot find requested variable"),
    and the frozen graph of the same signatures rightly.
    """
    avoid_amx()
    report_nothing()
    import openvino

    loaded = load_saved_model(artefact)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "frozen.pb"
        graph.write_bytes(frozen_graph(loaded.signatures).SerializeToString())
        model = openvino.convert_model(graph)
    for output, name in zip(model.outputs, OPENVINO_OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    _name_layers(model)
    return model


def write_openvino(model: "openvino.Model", artefact: Path, precision: StoredPrecision) -> Path:
    """Write the files of one precision. fp32 is kept whole: fp16 weights would answer 1 pixel in
    2,000 otherwise."""
    import openvino

    path = artefact / openvino_path(precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, path, compress_to_fp16=precision != "fp32")
    return path


def layer_names(model: "openvino.Model") -> list[str]:
    """The convolutions in order, as `--keep-float` names them."""
    return [layer.get_friendly_name() for layer in _convolutions(model)]


def frozen_graph(signatures: Any) -> Any:
    """A SavedModel's class maps and probabilities as one GraphDef without variables."""
    _, keywords = signatures["serving_default"].structured_input_signature
    images = keywords["images"]

    # the order of the names decides that of the outputs
    @tf.function(input_signature=[tf.TensorSpec(images.shape, images.dtype, name="images")])  # type: ignore[untyped-decorator]
    def both(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "class_map": signatures["serving_default"](images=images)["class_map"],
            "probabilities": signatures["probabilities"](images=images)["probabilities"],
        }

    return convert_variables_to_constants_v2(both.get_concrete_function()).graph.as_graph_def()


def _name_layers(model: "openvino.Model") -> None:
    """Fusing leaves names such as Multiply_28654; these say the place, the kind, the kernel and the
    channels out."""
    for place, layer in enumerate(_convolutions(model)):
        kernel = layer.input(1).get_partial_shape()
        kind = _CONVOLUTIONS[layer.get_type_name()]
        size = f"{kernel[-2]}x{kernel[-1]}_{layer.output(0).get_partial_shape()[1]}"
        layer.set_friendly_name(f"{kind}{place:02d}_{size}")


def _convolutions(model: "openvino.Model") -> Iterable[Any]:
    return (node for node in model.get_ordered_ops() if node.get_type_name() in _CONVOLUTIONS)
