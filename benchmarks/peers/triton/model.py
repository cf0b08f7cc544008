"""The model of Triton's Python backend, which finds this file in its repository."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from segmentation import Segmentation, decode


def answer(model: Segmentation, files: Sequence[bytes]) -> list[bytes]:
    """A PNG a file. Those of one size are one batch."""
    images = [decode(file) for file in files]
    pngs: list[bytes] = [b""] * len(images)
    for shape in {image.shape for image in images}:
        same = [index for index, image in enumerate(images) if image.shape == shape]
        class_maps = model.class_maps(np.stack([images[index] for index in same]))
        for index, class_map in zip(same, class_maps, strict=True):
            pngs[index] = model.encode(class_map)
    return pngs


class TritonPythonModel:
    """Triton calls it so, and its methods."""

    def initialize(self, _arguments: dict[str, str]) -> None:
        self.model = Segmentation()

    def execute(self, requests: list[Any]) -> list[Any]:
        import triton_python_backend_utils as triton  # there in Triton's process alone

        tensors = [triton.get_input_tensor_by_name(request, "image") for request in requests]
        pngs = answer(self.model, [tensor.as_numpy().reshape(-1)[0] for tensor in tensors])
        return [
            triton.InferenceResponse([triton.Tensor("png", np.array([[png]], object))])
            for png in pngs
        ]
