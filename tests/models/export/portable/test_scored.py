"""Adopted models, quantized and scored on a data set as our own are."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.cli import main
from models.contract import openvino_path, read_contract, verify_files
from service.runtimes.engine import EngineOptions
from service.runtimes.loading import load_engine
from tests.models.conftest import scene
from tests.models.export.portable.test_onnx import conv_file

FLAGS = ("--scaling", "0..1", "--output", "logits", "--yes")


def adopted(folder: Path, dataset_folder: Path, *flags: str, size: tuple[int, int] | None) -> Path:
    """A network whose class is the strongest color; it takes any size, or one picture of `size`."""
    shape = ["n", 3, "h", "w"] if size is None else [1, 3, *size]
    file = conv_file(folder / "conv.onnx", shape=shape)
    command = ["adopt", str(file), "--name", "theirs", "--store", str(folder / "store"), *FLAGS]
    assert main([*command, "--classes", str(dataset_folder / "classes.json"), *flags]) == 0
    return folder / "store" / "theirs" / "1"


def score(artefact: Path, data: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> float:
    capsys.readouterr()
    assert main(["evaluate", str(artefact), "--data", str(data), "--json", *flags]) == 0
    value: float = json.loads(capsys.readouterr().out)["pixel_accuracy"]
    return value


def expected_accuracy(dataset_folder: Path) -> float:
    """Of the first of the strongest colors, on val at the pictures' own size."""
    right = counted = 0
    for path in sorted((dataset_folder / "images" / "val").iterdir()):
        image = np.asarray(Image.open(path))
        mask = np.asarray(Image.open(dataset_folder / "masks" / "val" / path.name))
        right += int((image.argmax(axis=-1) == mask)[mask != 255].sum())
        counted += int((mask != 255).sum())
    return right / counted


def test_each_engine_scores_an_adopted_model(
    tmp_path: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artefact = adopted(tmp_path, dataset_folder, size=None)
    expected = expected_accuracy(dataset_folder)
    for flags in ((), ("--engine", "openvino-fp32"), ("--engine", "onnx")):
        assert score(artefact, dataset_folder, capsys, *flags) == pytest.approx(expected, abs=1e-4)
    command = ["evaluate", str(artefact), "--data", str(dataset_folder), "--engine", "tensorflow"]
    assert main(command) == 1
    assert "holds no SavedModel" in capsys.readouterr().err


@pytest.mark.parametrize("size", [None, (32, 24)])
def test_an_adopted_model_gets_int8_files_that_were_compared(
    tmp_path: Path,
    dataset_folder: Path,
    capsys: pytest.CaptureFixture[str],
    size: tuple[int, int] | None,
) -> None:
    artefact = adopted(tmp_path, dataset_folder, "--scale", "native", size=size)
    command = ["quantize", str(artefact), "--data", str(dataset_folder), "--images", "4"]
    assert main([*command, "--max-drop", "20"]) == 0
    made = artefact.parent / "2"
    contract = read_contract(made)
    verify_files(made, contract)
    assert contract.runtimes == {"openvino": ("fp32", "int8"), "onnx": ("fp32",)}
    assert 'element_type="i8"' in (made / openvino_path("int8")).read_text()
    assert contract.quantization is not None
    before = contract.quantization.float_scores["val"]["pixel_accuracy"]
    assert before == pytest.approx(expected_accuracy(dataset_folder), abs=1e-4)
    assert score(made, dataset_folder, capsys) == pytest.approx(before, abs=1e-4)
    engine = load_engine(made, contract, EngineOptions(precision="int8"))
    assert engine.precision == "int8"
    image = scene(5, *(size or (40, 56)))[0]
    share = np.mean(engine.class_map(image[np.newaxis])[0] == image.argmax(axis=-1))
    engine.close()
    assert share > 0.9


def test_what_onnx_runtime_serves_is_scored_and_gets_no_int8_files(
    tmp_path: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artefact = adopted(tmp_path, dataset_folder, "--runtime", "onnx", size=None)
    assert score(artefact, dataset_folder, capsys) > 0
    assert main(["quantize", str(artefact), "--data", str(dataset_folder)]) == 1
    assert "adopt it again without --runtime onnx" in capsys.readouterr().err
