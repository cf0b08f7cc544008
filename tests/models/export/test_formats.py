"""`segtrain export --format`: other runtimes' files of a network of ours, run by those runtimes."""

import json
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf

from models.cli import main
from models.contract import (
    litert_path,
    onnx_path,
    read_contract,
    verify_files,
)
from models.export import formats
from models.export.artefact import ExportError
from models.export.saved_model import write_saved_model
from models.training.evaluation import Predictor, saved_model_predictor
from tests.models.conftest import CLASSES, scene
from tests.models.export.small import CARD, export_small
from tests.solvable import RGB_CLASSES

SIZES = ((1, 1), (61, 83), (64, 96))  # H, W


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_small(tmp_path_factory.mktemp("store"))


def with_formats(artefact: Path, names: str) -> Path:
    before = {path.name for path in artefact.parent.iterdir()}
    assert main(["export", str(artefact), "--format", names]) == 0
    (made,) = {path.name for path in artefact.parent.iterdir()} - before
    return artefact.parent / made


def test_an_onnx_file_does_what_the_saved_model_does_at_any_size(artefact: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("tf2onnx", reason="the onnx extra is not installed")
    made = with_formats(artefact, "onnx")
    contract = read_contract(made)
    verify_files(made, contract)
    assert contract.runtimes["onnx"] == ("fp32",)
    file = made / onnx_path("fp32")
    session = onnxruntime.InferenceSession(file)
    saved = saved_model_predictor(artefact)
    for height, width in SIZES:
        image = scene(5, 61, 83)[0][:height, :width]
        images = np.resize(image, (2, height, width, 3))
        class_map, probabilities = session.run(["class_map", "probabilities"], {"images": images})
        np.testing.assert_array_equal(class_map, saved.class_maps(images))
        np.testing.assert_allclose(probabilities, saved.probabilities(images), atol=1e-4)
    said = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert said["model_card"] == CARD
    assert [c["name"] for c in json.loads(said["classes"])] == [c["name"] for c in CLASSES]


def test_a_litert_file_does_what_the_saved_model_does_at_any_size(artefact: Path) -> None:
    interpreters = pytest.importorskip(
        "ai_edge_litert.interpreter", reason="the litert extra is not installed"
    )
    file = with_formats(artefact, "litert") / litert_path("fp32")
    interpreter = interpreters.Interpreter(model_path=str(file))
    run = interpreter.get_signature_runner()
    saved = saved_model_predictor(artefact)
    for height, width in SIZES:
        images = scene(5, 61, 83)[0][:height, :width]
        images = np.resize(images, (1, height, width, 3))
        answer = run(images=images)
        assert np.mean(answer["class_map"] == saved.class_maps(images)) >= 0.999
        np.testing.assert_allclose(answer["probabilities"], saved.probabilities(images), atol=1e-3)
    with zipfile.ZipFile(file) as packed:
        assert packed.read("labels.txt").decode().splitlines() == [c["name"] for c in CLASSES]
        assert packed.read("model_card.md").decode() == CARD


class _Bicubic:
    """RGB to three classes, twice as large and half again."""

    channels = classes = 3
    stride, receptive_field_radius, parameters = 1, 0, 0
    variables: ClassVar[list[Any]] = []

    def __call__(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:  # noqa: ARG002
        size = tf.shape(images)[1:3]
        large = tf.image.resize(images, 2 * size, "bicubic")
        return tf.image.resize(large, size)


def test_what_a_format_has_no_operator_for_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the litert extra is not installed")
    write_saved_model(_Bicubic(), tmp_path)
    described = formats.Described("bicubic", 3, RGB_CLASSES, CARD)
    with pytest.raises(ExportError, match="to litert: it has no ResizeBicubic"):
        formats.write_formats(tmp_path, ["litert"], described)


def test_a_file_that_answers_otherwise_is_not_kept(
    artefact: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = saved_model_predictor(artefact)
    reversed_classes = Predictor(
        lambda images: saved.probabilities(images).argmin(axis=-1).astype(np.uint8),
        saved.probabilities,
    )
    row = formats.FORMATS["openvino"]
    wrong = formats.Format(row.path, (), row.extra, row.write, lambda _: reversed_classes)
    monkeypatch.setitem(formats.FORMATS, "openvino", wrong)
    there = sorted(artefact.parent.iterdir())
    assert main(["export", str(artefact), "--format", "openvino"]) == 1
    assert "class that the SavedModel does" in capsys.readouterr().err
    assert sorted(artefact.parent.iterdir()) == there


def test_a_format_whose_extra_is_missing_says_which(
    artefact: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    assert main(["export", str(artefact), "--format", "litert"]) == 1
    assert "pip install segserve[litert]" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", str(artefact), "--format", "onnx,tflite"])
    assert "'tflite' is none of onnx, litert, openvino" in capsys.readouterr().err
