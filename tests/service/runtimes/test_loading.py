"""Which engine and precision runs a model, and what it says where they cannot."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract import (
    Contract,
    StoredPrecision,
    file_digests,
    openvino_path,
    read_contract,
    write_contract,
)
from models.contract.openvino_core import openvino_core
from models.export.openvino import convert_to_openvino, write_openvino
from service.catalogue.store import scan
from service.runtimes import OPENVINO, RUNTIMES, TENSORFLOW, Runtime, loading, runtime
from service.runtimes.engine import (
    Engine,
    EngineName,
    EngineOptions,
    EngineUnavailableError,
    Precision,
)
from service.runtimes.loading import load_engine
from service.runtimes.openvino import _choose
from service.settings import BUNDLED_MODELS
from tests.service.inference.conv_network import save_conv_network


def loaded(artefact: Path, **options: object) -> tuple[str, str, str]:
    """The engine's name, precision and reason."""
    engine = load_engine(artefact, read_contract(artefact), EngineOptions(**options))  # type: ignore[arg-type]
    engine.close()
    return engine.name, engine.precision, engine.reason


def _converted(store: Path) -> Path:
    """An artefact of a network of convolutions with its OpenVINO files of fp32."""
    artefact = save_conv_network(store, "conv")
    contract = read_contract(artefact)
    write_openvino(convert_to_openvino(artefact), artefact, "fp32")
    write_contract(artefact, contract.model_copy(update={"files": file_digests(artefact)}))
    return artefact


def test_auto_takes_openvino_where_the_artefact_holds_its_files(openvino_store: Path) -> None:
    name, precision, reason = loaded(openvino_store / "solvable" / "1")
    assert (name, precision) == ("openvino", "fp32")
    assert reason.startswith("on a CPU OpenVINO is the fastest; the artefact holds no int8")


def test_auto_takes_int8_where_the_artefact_holds_it() -> None:
    for artefact in (
        found for versions in scan(BUNDLED_MODELS).models.values() for found in versions.values()
    ):
        name, precision, reason = loaded(artefact.path)
        assert (name, precision) == ("openvino", "int8")
        assert "int8 is the fastest that the artefact holds" in reason


@pytest.mark.parametrize(
    ("held", "capabilities", "precision"),
    [
        (("fp32", "int8"), ["FP32", "INT8"], "int8"),
        (("fp32", "int8"), ["FP32", "BF16"], "fp32"),
        (("int8",), ["FP32"], "int8"),
        (("fp32",), ["FP32", "INT8", "BF16"], "fp32"),
    ],
)
def test_auto_takes_the_precision_that_the_cpu_is_fast_in(
    solvable_store: Path, held: tuple[StoredPrecision, ...], capabilities: list[str], precision: str
) -> None:
    files = {
        openvino_path(one).with_suffix(end).as_posix(): ""
        for one in held
        for end in (".xml", ".bin")
    }
    contract = read_contract(solvable_store / "solvable" / "1").model_copy(update={"files": files})
    assert _choose("auto", contract, capabilities)[0] == precision


def test_bf16_answers_much_as_fp32_does_where_the_cpu_has_it(tmp_path: Path) -> None:
    if "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(EngineUnavailableError, match="does not compute in bf16"):
            loaded(_converted(tmp_path), precision="bf16")
        return
    artefact = _converted(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    probabilities = []
    for precision in ("fp32", "bf16"):
        options = EngineOptions("openvino", precision, threads=2)
        engine = load_engine(artefact, read_contract(artefact), options)
        assert engine.precision == precision
        probabilities.append(engine.probabilities(images))
        engine.close()
    difference = np.abs(probabilities[0] - probabilities[1]).max()
    assert 0 < difference < 0.05


@pytest.mark.parametrize(
    ("missing", "name", "outcome"),
    [
        ("openvino", "auto", "tensorflow"),
        ("openvino", "openvino", "openvino is not installed; the cpu extra brings it"),
        ("tensorflow", "auto", "openvino"),
        ("tensorflow", "tensorflow", "tensorflow is not installed; the cpu and gpu extras"),
    ],
)
def test_a_library_that_is_not_installed_is_done_without_or_named(
    openvino_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    name: EngineName,
    outcome: str,
) -> None:
    monkeypatch.setattr(
        runtime, "find_spec", lambda library: None if library == missing else object()
    )
    artefact = openvino_store / "solvable" / "1"
    if name == "auto":
        assert loaded(artefact)[0] == outcome
    else:
        with pytest.raises(EngineUnavailableError, match=outcome):
            loaded(artefact, name=name)


def test_auto_takes_tensorflow_where_it_holds_none(solvable_store: Path) -> None:
    assert loaded(solvable_store / "solvable" / "1") == (
        "tensorflow",
        "fp32",
        "the artefact holds no OpenVINO files",
    )


def test_auto_looks_for_tensorflows_gpu_first_and_goes_back_where_it_runs_on_the_cpu(
    openvino_store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(RUNTIMES, "tensorflow", replace(TENSORFLOW, has_gpu=lambda: True))
    assert loaded(openvino_store / "solvable" / "1")[0] == "openvino"
    assert "a GPU is shown and tensorflow does not use it" in caplog.text


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
    """In fp32, where its own default on this kind of CPU may be bf16; and its files pass through a
    fold and back.
    """
    artefact = _converted(tmp_path)
    contract = read_contract(artefact)
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


def test_every_runtime_can_be_asked_for_by_its_name() -> None:
    assert set(get_args(EngineName)) == {"auto", *RUNTIMES}
    assert all(name == row.name for name, row in RUNTIMES.items())


class _Constant:
    """An engine that knows one class."""

    name, device, device_reason, precision = "constant", "CPU", "it needs nothing", "fp32"
    best_batch, best_batch_pixels, streams = 1, 1, 1
    light_class_maps = probabilities_on_demand = False
    logits_factor, stages = 0, None

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.zeros(images.shape[:3], np.uint8)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ones((*images.shape[:3], 1), np.float32)

    def logits(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
        return np.zeros((len(images), 1, *images.shape[1:3]), np.float32), 1

    def close(self) -> None:
        pass


def load_constant(
    _artefact: Path, _contract: Contract, _options: EngineOptions, reason: str
) -> Engine:
    return _Constant(reason)


def constant(lacks: str | None) -> Runtime:
    return replace(
        TENSORFLOW,
        name="constant",
        library="json",
        lacks=lambda _contract, _options: lacks,
        advantage="it is first",
        load=load_constant,
    )


@pytest.mark.parametrize(
    ("lacks", "first", "outcome"),
    [
        (None, True, ("constant", "fp32", "it is first")),
        (None, False, ("constant", "fp32", "the artefact holds no OpenVINO files")),
        (
            "no constant",
            True,
            ("tensorflow", "fp32", "no constant; the artefact holds no OpenVINO files"),
        ),
    ],
)
def test_a_new_runtime_is_a_row_in_order_of_preference(
    solvable_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacks: str | None,
    first: bool,
    outcome: tuple[str, str, str],
) -> None:
    row = constant(lacks)
    table = {"constant": row, **RUNTIMES} if first else {"openvino": OPENVINO, "constant": row}
    monkeypatch.setattr(loading, "RUNTIMES", table)
    assert loaded(solvable_store / "solvable" / "1") == outcome


def test_where_nothing_runs_it_every_obstacle_is_said(
    solvable_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "find_spec", lambda _library: None)
    with pytest.raises(EngineUnavailableError, match="no OpenVINO files; tensorflow is not instal"):
        loaded(solvable_store / "solvable" / "1")
