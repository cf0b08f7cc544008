"""int8 files as the user of `segtrain quantize` sees them, on a small network of random weights."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures.upsampling import Resize
from models.cli import main
from models.contract import (
    MODEL_CARD_PATH,
    OPENVINO_PATH,
    atomic,
    openvino_path,
    read_contract,
    verify_files,
)
from models.contract.atomic import exchange
from models.contract.openvino_core import openvino_core
from models.export import quantize, saved_model
from models.export.artefact import ExportError
from models.export.quantize import quantized_graph
from models.training.evaluation import openvino_predictor, saved_model_predictor
from models.training.robustness import exposed
from tests.models.conftest import scene
from tests.models.export.small import export_small


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small/1` with OpenVINO's fp32 files. Tests add versions beside it, and leave it as it is."""
    return export_small(tmp_path_factory.mktemp("store"), with_openvino=True)


@pytest.fixture(scope="module")
def quantized(artefact: Path, dataset_folder: Path) -> Path:
    """`small/2`: int8 beside fp32, the last layer kept in floating point."""
    command = ["quantize", str(artefact), "--data", str(dataset_folder), "--images", "4"]
    assert main([*command, "--max-drop", "100", "--keep-float", "_3$"]) == 0
    return artefact.parent / "2"


def test_the_exported_file_answers_as_the_signature_does(artefact: Path) -> None:
    by_openvino = openvino_predictor(artefact / openvino_path("fp32"), "fp32")
    by_tensorflow = saved_model_predictor(artefact)
    images = scene(5, 61, 83)[0][np.newaxis]
    assert np.mean(by_openvino.class_maps(images) == by_tensorflow.class_maps(images)) >= 0.9999
    np.testing.assert_allclose(
        by_openvino.probabilities(images), by_tensorflow.probabilities(images), atol=1e-3
    )


def test_the_new_version_is_whole_and_says_what_both_precisions_score(quantized: Path) -> None:
    contract = read_contract(quantized)
    verify_files(quantized, contract)
    assert contract.openvino_precisions == ("fp32", "int8")
    facts = contract.quantization
    assert facts is not None
    assert facts.calibration_images == 4
    assert len(facts.kept_float) == 1
    assert facts.scores["val"].keys() == facts.float_scores["val"].keys()
    card = (quantized / MODEL_CARD_PATH).read_text()
    assert card.index("## Data") < card.index("## int8") < card.index("## Training")
    assert contract.calibration is not None
    assert contract.calibration.keys() == {"fp32", "int8"}
    assert f"- int8: {contract.calibration['int8'].temperature:.3f}" in card
    assert f"| val, int8 | {facts.scores['val']['pixel_accuracy']:.4f} |" in card
    assert not list(quantized.parent.glob(".*"))


def test_int8_files_hold_int8_weights_and_answer_much_like_fp32(quantized: Path) -> None:
    model = (quantized / openvino_path("int8")).read_text()
    assert 'element_type="i8"' in model
    images = scene(6, 64, 96)[0][np.newaxis]
    maps = [
        openvino_predictor(quantized / openvino_path(precision), "fp32").class_maps(images)
        for precision in ("fp32", "int8")
    ]
    assert np.mean(maps[0] == maps[1]) > 0.8


def test_evaluate_scores_the_files_that_are_there(
    artefact: Path, quantized: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(quantized), "--data", str(dataset_folder), "--engine"]
    assert main([*command, "openvino-int8"]) == 0
    contract = read_contract(quantized)
    assert contract.quantization is not None
    score = contract.quantization.scores["val"]["mean_iou"]
    assert f"mean iou                 {score:.4f}" in capsys.readouterr().out
    command[1] = str(artefact)
    assert main([*command, "openvino-int8"]) == 1
    assert "holds no OpenVINO files of int8; it holds fp32" in capsys.readouterr().err


def test_nothing_is_written_where_int8_loses_more_than_it_may(
    artefact: Path, quantized: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A drop of less than −100 points is more than any int8 can reach."""
    before = sorted(artefact.parent.iterdir())
    assert quantized in before
    command = ["quantize", str(artefact), "--data", str(dataset_folder), "--images", "2"]
    assert main([*command, "--max-drop", "-101"]) == 1
    said = capsys.readouterr().err
    assert "points of val mIoU" in said
    assert "nothing was written" in said
    assert sorted(artefact.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("after", "kept"),
    [(0.8, True), (0.7951, True), (0.7949, False), (math.nan, False), (0.9, True)],
)
def test_half_a_point_of_val_miou_may_be_lost_unless_said_otherwise(
    artefact: Path, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch, after: float, kept: bool
) -> None:
    """With scores of our own in place of the two that the files reach, fp32's first."""
    real = quantize.score_file
    wanted = iter([0.8, after])
    monkeypatch.setattr(
        quantize, "score_file", lambda *given: replace(real(*given), mean_iou=next(wanted))
    )
    before = sorted(artefact.parent.iterdir())
    command = ["quantize", str(artefact), "--data", str(dataset_folder), "--images", "1"]
    assert main(command) == (0 if kept else 1)
    written = set(artefact.parent.iterdir()) - set(before)
    assert len(written) == (1 if kept else 0)
    for version in written:
        shutil.rmtree(version)


def test_export_writes_openvinos_files_where_it_can_and_says_so_where_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_itself = export_small(tmp_path, with_openvino=None)
    assert read_contract(by_itself).openvino_precisions == ("fp32",)
    monkeypatch.setattr(saved_model, "openvino_is_installed", lambda: False)
    without = export_small(tmp_path, with_openvino=None)
    assert read_contract(without).openvino_precisions == ()
    with pytest.raises(ExportError, match="openvino is not installed"):
        export_small(tmp_path, with_openvino=True)
    assert sorted(path.name for path in without.parent.iterdir()) == ["1", "2"]


def test_a_pattern_that_finds_no_layer_lists_those_there_are(
    artefact: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quantize", str(artefact), "--data", str(dataset_folder), "--keep-float", "logits"]
    assert main(command) == 1
    assert "finds no layer; there are conv00_3x3_4, conv01_3x3_4" in capsys.readouterr().err


def test_of_four_calibration_images_two_have_one_and_two_stops_more_light(
    artefact: Path, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[NDArray[np.uint8]]] = []

    def watched(model: Any, images: Any, *given: Any) -> Any:
        seen.append(list(images.get_inference_data()))
        return quantized_graph(model, images, *given)

    monkeypatch.setattr(quantize, "quantized_graph", watched)
    command = ["quantize", str(artefact), "--data", str(dataset_folder), "--images", "4"]
    for stops in (quantize.CALIBRATION_STOPS, (0,)):
        monkeypatch.setattr(quantize, "CALIBRATION_STOPS", stops)
        before = set(artefact.parent.iterdir())
        assert main([*command, "--max-drop", "100"]) == 0
        (written,) = set(artefact.parent.iterdir()) - before
        shutil.rmtree(written)
    shown, as_they_are = seen
    for image, plain, light in zip(shown, as_they_are, (0, 0, 1, 2), strict=True):
        np.testing.assert_array_equal(image[0], exposed(light)(plain[0]))


def test_in_its_own_place_and_int8_alone(
    quantized: Path, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Last, for it changes `small/2`: a second run replaces the card's section and the scores. At
    no moment is there no folder."""
    seen = []

    def watched(one: Path, other: Path) -> None:
        seen.append(read_contract(other).openvino_precisions)
        exchange(one, other)
        seen.append(read_contract(other).openvino_precisions)

    monkeypatch.setattr(atomic, "exchange", watched)
    command = ["quantize", str(quantized), "--data", str(dataset_folder), "--images", "3"]
    assert main([*command, "--max-drop", "100", "--replace", "--drop-fp32"]) == 0
    assert seen == [("fp32", "int8"), ("int8",)]
    contract = read_contract(quantized)
    verify_files(quantized, contract)
    assert contract.openvino_precisions == ("int8",)
    assert contract.quantization is not None
    assert contract.quantization.calibration_images == 3
    assert contract.quantization.kept_float == ()
    assert (quantized / MODEL_CARD_PATH).read_text().count("## int8") == 1
    files = sorted(path.name for path in (quantized / OPENVINO_PATH).iterdir())
    assert files == ["int8.bin", "int8.xml"]
    assert not list(quantized.parent.glob(".*"))


def test_a_depthwise_convolution_behind_a_resize_leaves_every_size_allowed() -> None:
    """NNCF would give it a range a row of the calibration's images, and the graph their height."""
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(image)
    x = Resize(2, "bilinear")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    network = keras.Model(image, keras.layers.Conv2D(2, 1)(x))
    draw = np.random.default_rng(0)
    images = [draw.uniform(0, 1, (1, 16, 24, 3)).astype(np.float32) for _ in range(2)]
    other = draw.uniform(0, 1, (1, 26, 18, 3)).astype(np.float32)
    assert _int8_error(network, images, other) < 0.05


def test_one_bright_image_among_dark_ones_is_within_the_ranges() -> None:
    """By the mean of the images' ranges it would be cut off at a fifth of its light."""
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    network = keras.Model(image, keras.layers.Conv2D(2, 1)(x))
    draw = np.random.default_rng(1)
    dark, bright = (draw.uniform(0, most, (1, 16, 24, 3)).astype(np.float32) for most in (0.1, 1))
    assert _int8_error(network, [dark] * 7 + [bright], bright) < 0.05


def _int8_error(
    network: keras.Model, calibration: list[NDArray[np.float32]], shown: NDArray[np.float32]
) -> float:
    """How far int8's answers are off the network's, as a share of their size."""
    import nncf
    import openvino

    spec = tf.TensorSpec((None, None, None, 3), tf.float32, name="images")
    graph = tf.function(lambda images: network(images, training=False), input_signature=[spec])
    model = openvino.convert_model(graph.get_concrete_function())
    int8 = quantized_graph(model, nncf.Dataset(calibration), len(calibration), ())
    assert any(node.get_type_name() == "FakeQuantize" for node in int8.get_ordered_ops())
    compiled = openvino_core().compile_model(int8, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    wanted = np.asarray(network(shown))
    return float(np.abs(compiled([shown])[0] - wanted).mean() / np.abs(wanted).mean())
