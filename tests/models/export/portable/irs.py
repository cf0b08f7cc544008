"""Networks that one can solve in one's head, as OpenVINO IR files."""

from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as op


def save_strongest(
    path: Path, size: tuple[int, int] | None = None, *, outputs: int = 1, batch: int = -1
) -> Path:
    """RGB float32 (N, 3, H, W) in 0…1 to logits of the same shape: the class is the strongest
    channel."""
    image = op.parameter([batch, 3, *(size or (-1, -1))], np.float32, name="image")
    logits = op.subtract(op.multiply(image, np.float32(4)), np.float32(2))
    results = [op.multiply(logits, np.float32(n + 1)) for n in range(outputs)]
    model = openvino.Model(results, [image], "strongest")
    model.inputs[0].get_tensor().set_names({"image"})
    for place, output in enumerate(model.outputs):
        output.get_tensor().set_names({f"scores{place}"})
    openvino.save_model(model, path, compress_to_fp16=False)
    return path
