"""What a network sees in a picture, as one vector: the means of its deepest feature map.

A segmentation network narrows to a few hundred positions and widens again. What lies narrowest is
found in the graph by its size alone, so networks of any making have it, adopted ones too.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract, openvino_path
from models.contract.openvino_core import openvino_core

if TYPE_CHECKING:  # the command line knows this module; a server of another engine never maps it
    import openvino

# What a feature map comes out of. Nothing but convolutions make new ones; the rest follows them.
_LAYERS = frozenset(
    {
        "Convolution",
        "GroupConvolution",
        "Add",
        "Relu",
        "PRelu",
        "Clamp",
        "Elu",
        "Gelu",
        "HSwish",
        "Swish",
        "MaxPool",
        "AvgPool",
        "Concat",
    }
)
_PROBE_SIDE = 512  # pixels; the maps of all depths differ in size there


class FeatureModel:
    """The part of a model up to its deepest feature map. Calls block, one at a time."""

    def __init__(self, artefact: Path, contract: Contract, threads: int) -> None:
        """Raises LookupError where the artefact has no OpenVINO files or no such map."""
        if not contract.openvino_precisions:
            raise LookupError(f"{contract.name} has no OpenVINO files")
        import openvino

        core = openvino_core()
        path = artefact / openvino_path(contract.openvino_precisions[0])
        model = core.read_model(path)
        layer = _deepest_layer(model, contract)
        if layer is None:
            raise LookupError(f"the graph of {contract.name} has no feature map")
        self.layer = layer.get_friendly_name()
        cut = openvino.Model([layer.output(0)], model.get_parameters(), "features")
        settings = {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
        self._request = core.compile_model(cut, "CPU", settings).create_infer_request()

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map an image (H, W, C) to a vector (features,) of length 1."""
        (maps,) = self._request.infer([np.ascontiguousarray(image[np.newaxis])]).values()
        vector: NDArray[np.float32] = np.asarray(maps[0], np.float32).mean(axis=(1, 2))
        vector /= max(float(np.linalg.norm(vector)), 1e-12)
        return vector


def _deepest_layer(model: "openvino.Model", contract: Contract) -> Any | None:
    """The last layer among those whose maps (1, C, h, w) are the smallest; what is pooled to one
    position is none.
    """
    side = -(-_PROBE_SIDE // contract.stride) * contract.stride
    height, width = contract.only_size or (side, side)
    probe = model.clone()
    probe.reshape([1, height, width, contract.channels])
    smallest, place = height * width, None
    for index, node in enumerate(probe.get_ordered_ops()):
        if node.get_type_name() not in _LAYERS:
            continue
        shape = node.get_output_partial_shape(0)
        if not shape.is_static or len(shape) != 4 or shape[0].get_length() != 1:
            continue
        area = shape[2].get_length() * shape[3].get_length()
        if 1 < area <= smallest and shape[1].get_length() > 1:
            smallest, place = area, index
    if place is None:
        return None
    name = list(probe.get_ordered_ops())[place].get_friendly_name()
    return next(node for node in model.get_ordered_ops() if node.get_friendly_name() == name)
