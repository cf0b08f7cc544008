"""What a wrapped graph answers, as the service would get it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.export.adopt_options import AdoptionError
from models.export.portable.judging import Answer, Answers
from models.export.portable.network import openvino_core, short_cause


def served_answers(model: Any) -> Answers:
    """The class ids (H, W) and probabilities (H, W, classes) of an image (H, W, C) of a size that
    `model`, a wrapped openvino.Model, takes. They raise AdoptionError where OpenVINO cannot run it,
    which its own runtime could."""
    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    request = openvino_core().compile_model(model, "CPU", hints).create_infer_request()

    def answer(image: NDArray[np.uint8]) -> Answer:
        try:
            request.infer([image[np.newaxis]])
        except RuntimeError as error:
            height, width = image.shape[:2]
            raise AdoptionError(
                f"OpenVINO cannot run it on a picture of {height}×{width} (height×width): "
                f"{short_cause(error)}; say --size HEIGHT WIDTH where it is of one size, or "
                "--runtime onnx, which has ONNX Runtime serve an ONNX file"
            ) from error
        class_map, probabilities = (request.get_output_tensor(n).data for n in (0, 1))
        return class_map[0].copy(), probabilities[0].copy()

    return answer


def class_map_of(
    answers: Answers, size: tuple[int, int] | None, image: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Class ids (H, W) of an image (H, W, C) of any size; for a network of one `size` it is shrunk
    into that and mirrored where it ends, as the service does."""
    if size is None:
        return answers(image)[0]
    height, width = image.shape[:2]
    factor = min(1.0, size[0] / height, size[1] / width)
    seen = max(1, round(height * factor)), max(1, round(width * factor))
    planes = [
        np.asarray(Image.fromarray(plane).resize((seen[1], seen[0]), Image.Resampling.BOX))
        for plane in np.moveaxis(image, -1, 0)
    ]
    shrunk = np.stack(planes, axis=-1)
    padding = ((0, size[0] - seen[0]), (0, size[1] - seen[1]), (0, 0))
    fitted = np.pad(shrunk, padding, mode="reflect" if min(seen) > 1 else "edge")
    class_map = Image.fromarray(answers(fitted)[0][: seen[0], : seen[1]])
    return np.asarray(class_map.resize((width, height), Image.Resampling.NEAREST))
