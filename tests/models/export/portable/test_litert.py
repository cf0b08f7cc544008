"""LiteRT files, in int8 too, adopted, served, and compared with LiteRT itself."""

from pathlib import Path

import numpy as np
import pytest

from models.cli import main
from models.contract import MODEL_CARD_PATH
from tests.models.export.portable.test_onnx import blobs
from tests.service.serving import class_map_of, serving

interpreters = pytest.importorskip(
    "ai_edge_litert.interpreter", reason="the litert extra is not installed"
)
NETWORKS = Path(__file__).parent / "networks"


def test_what_is_served_is_what_litert_says(tmp_path: Path) -> None:
    for name in ("floating", "int8"):
        command = ["adopt", str(NETWORKS / f"{name}.tflite"), "--name", name, "--yes"]
        command += ["--classes", "a,b,c", "--scaling", "0..1", "--store", str(tmp_path)]
        assert main(command) == 0
        assert "LiteRT gives" in (tmp_path / name / "1" / MODEL_CARD_PATH).read_text()
    with serving(tmp_path) as server:
        for name in ("floating", "int8"):
            interpreter = interpreters.Interpreter(model_path=str(NETWORKS / f"{name}.tflite"))
            interpreter.allocate_tensors()
            (given,), (scores,) = interpreter.get_input_details(), interpreter.get_output_details()
            for height, width in ((96, 96), (61, 80), (96, 35)):
                image = blobs(height, width, seed=width)
                mirrored = ((0, 96 - height), (0, 96 - width), (0, 0))
                values = np.pad(image, mirrored, mode="reflect").astype(np.float32) / 255
                interpreter.set_tensor(given["index"], values[np.newaxis])
                interpreter.invoke()
                answer = interpreter.get_tensor(scores["index"])[0].argmax(axis=-1)
                expected = answer[:height, :width]
                served = class_map_of(server.segment(image, model=name))
                assert np.mean(served == expected) >= 0.999
                assert len(np.unique(expected)) > 1
