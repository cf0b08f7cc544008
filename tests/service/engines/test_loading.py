"""Which engine and precision runs a model, and what it says where they cannot."""

from pathlib import Path

import numpy as np
import pytest

from models.contract import openvino_path, read_contract
from models.export.openvino import convert_to_openvino, write_openvino
from service.engines import loading
from service.engines.engine import EngineName, EngineOptions, EngineUnavailableError, Precision
from service.engines.loading import load_engine
from tests.service.pipeline.conv_network import save_conv_network


def loaded(artefact: Path, **options: object) -> tuple[str, str, str]:
    """The engine's name, precision and reason."""
    engine = load_engine(artefact, read_contract(artefact), EngineOptions(**options))  # type: ignore[arg-type]
    engine.close()
    return engine.name, engine.precision, engine.reason


def test_auto_takes_openvino_where_the_artefact_holds_its_files(openvino_store: Path) -> None:
    name, precision, reason = loaded(openvino_store / "solvable" / "1")
    assert (name, precision) == ("openvino", "fp32")
    assert reason.startswith("on a CPU OpenVINO is the fastest; the artefact holds no int8")


def test_auto_takes_tensorflow_where_it_holds_none(solvable_store: Path) -> None:
    assert loaded(solvable_store / "solvable" / "1") == (
        "tensorflow",
        "fp32",
        "the artefact holds no OpenVINO files",
    )


def test_auto_looks_for_tensorflows_gpu_first_and_goes_back_where_it_runs_on_the_cpu(
    openvino_store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "tensorflow_may_have_gpu", lambda: True)
    assert loaded(openvino_store / "solvable" / "1")[0] == "openvino"
    assert "a GPU is shown and TensorFlow does not use it" in caplog.text


def test_files_that_the_contract_does_not_list_are_not_run(solvable_store: Path) -> None:
    contract = read_contract(solvable_store / "solvable" / "1")
    assert contract.openvino_precisions == ()
    half = {**contract.files, openvino_path("int8").as_posix(): "0" * 64}
    assert contract.model_copy(update={"files": half}).openvino_precisions == ()


@pytest.mark.parametrize(
    ("name", "precision", "fault"),
    [
        ("auto", "int8", "holds no OpenVINO files of int8; `segtrain quantize` makes them"),
        ("openvino", "int8", "holds no OpenVINO files of int8; `segtrain quantize` makes them"),
        ("tensorflow", "int8", "TensorFlow computes in fp32 alone"),
        ("tensorflow", "bf16", "TensorFlow computes in fp32 alone"),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence(
    openvino_store: Path, name: EngineName, precision: Precision, fault: str
) -> None:
    with pytest.raises(EngineUnavailableError, match=fault):
        loaded(openvino_store / "solvable" / "1", name=name, precision=precision)


def test_openvino_without_files_is_refused_in_a_sentence(solvable_store: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="fp32; `segtrain export` makes them"):
        loaded(solvable_store / "solvable" / "1", name="openvino")


def test_openvino_answers_as_tensorflow_does_whatever_the_size_and_the_batch(
    tmp_path: Path,
) -> None:
    """In fp32, where its own default on this kind of CPU may be bf16; and its files pass through a fold and back."""
    artefact = save_conv_network(tmp_path, "conv")
    contract = read_contract(artefact)
    write_openvino(convert_to_openvino(artefact), artefact, "fp32")
    files = {openvino_path("fp32").with_suffix(end).as_posix(): "" for end in (".xml", ".bin")}
    contract = contract.model_copy(update={"files": contract.files | files})
    first, second = (
        load_engine(artefact, contract, EngineOptions(name, threads=2))
        for name in ("tensorflow", "openvino")
    )
    draw = np.random.default_rng(0)
    equal = []
    for shape in [(1, 64, 96), (3, 32, 48), (1, 4, 4), (2, 128, 36)]:
        images = draw.integers(0, 256, (*shape, 3), np.uint8)
        equal.append((first.class_map(images) == second.class_map(images)).ravel())
        np.testing.assert_allclose(
            first.probabilities(images), second.probabilities(images), atol=1e-4
        )
    assert np.concatenate(equal).mean() >= 0.9999
    first.close()
    second.close()
