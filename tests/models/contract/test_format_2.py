"""What format 2 adds to the contract: typed, all of it optional, read tolerantly."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.contract import (
    CONTRACT_PATH,
    FORMAT_VERSION,
    Contract,
    ContractError,
    FrameScale,
    PhysicalScale,
    file_digests,
    onnx_path,
    openvino_path,
    read_contract,
    verify_files,
    write_contract,
)
from tests.models.contract.test_contract import artefact, change, facts

SPREAD = {"mean": 0.8, "p05": 0.5, "p50": 0.85, "p95": 0.99}
ADDED: dict[str, Any] = {
    "scale": {"kind": "frame", "long_side": 480},
    "intensity": {"kind": "percentiles", "low": 0.5, "high": 99.5},
    "calibration": {
        "fp32": {"temperature": 1.3, "split": "val", "error_before": 0.08, "error_after": 0.02}
    },
    "reference": {
        "split": "val",
        "images": 101,
        "class_shares": [0.9, 0.1],
        "confidence": SPREAD,
        "brightness": {"mean": 90.0, "p05": 40.0, "p50": 88.0, "p95": 150.0},
        "long_side": {"mean": 480.0, "p05": 480.0, "p50": 480.0, "p95": 480.0},
    },
    "io": {
        "layout": "NCHW",
        "range": [0, 1],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "size": [512, 512],
        "output": "logits",
    },
}


def test_all_of_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "1")
    contract = Contract.model_validate(facts(files=file_digests(folder), **ADDED))
    write_contract(folder, contract)
    assert read_contract(folder) == contract
    assert contract.scale == FrameScale(kind="frame", long_side=480)
    assert contract.calibration is not None
    assert contract.calibration["fp32"].temperature == 1.3
    verify_files(folder, contract)


def test_what_is_not_known_is_not_written(tmp_path: Path) -> None:
    document = json.loads((artefact(tmp_path / "1") / CONTRACT_PATH).read_text())
    assert document["format_version"] == FORMAT_VERSION == 2
    assert not ADDED.keys() & document.keys()
    assert document["receptive_field_radius"] == 100


def test_a_contract_of_format_1_is_read_and_written_again_as_format_2(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "1")
    change(folder, format_version=1)
    contract = read_contract(folder)
    added = (contract.scale, contract.intensity, contract.calibration, contract.reference)
    assert (*added, contract.io) == (None,) * 5
    write_contract(folder, contract)
    assert json.loads((folder / CONTRACT_PATH).read_text())["format_version"] == 2


@pytest.mark.parametrize("version", [1, 2, 3, 99])
def test_fields_of_a_later_release_are_passed_over(version: int, tmp_path: Path) -> None:
    folder = artefact(tmp_path / "1")
    classes = json.loads((folder / CONTRACT_PATH).read_text())["classes"]
    classes[0]["thing"] = False
    scale = ADDED["scale"] | {"measured": True}
    change(folder, format_version=version, mood="sunny", classes=classes, scale=scale)
    contract = read_contract(folder)
    assert [c.name for c in contract.classes] == ["road", "car"]
    assert contract.scale == FrameScale(kind="frame", long_side=480)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"min_reader_format": 3}, "asks for a reader of format 3; it was written in format 7"),
        ({"scale": {"kind": "angular", "degrees": 1}}, "scale: .*angular.*; it was written in"),
        ({"stride": "by layer"}, "stride: .*; it was written in format 7, of a later release"),
    ],
)
def test_a_later_format_is_refused_where_it_must_be(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    folder = artefact(tmp_path / "1")
    change(folder, format_version=7, **changes)
    with pytest.raises(ContractError, match=f"{sentence}.*update segserve"):
        read_contract(folder)


@pytest.mark.parametrize(
    ("field", "changes", "sentence"),
    [
        ("scale", {"long_side": 0}, r"scale\.frame\.long_side"),
        ("scale", {"kind": "physical", "pixel_size": 0.0, "unit": "m"}, "pixel_size"),
        ("scale", {"kind": "physical", "pixel_size": 0.5, "unit": "inch"}, "unit"),
        ("intensity", {"low": 99.9}, "intensity"),
        ("intensity", {"kind": "window", "low": 40.0, "high": -160.0}, "intensity"),
        ("calibration", {"fp64": {}}, "fp64"),
        ("calibration", {"fp32": {"temperature": 0.0}}, "temperature"),
        ("reference", {"class_shares": [0.9, 0.05, 0.05]}, "3 shares, for 2 classes"),
        ("reference", {"class_shares": [0.9, 0.3]}, "add up to 1"),
        ("reference", {"confidence": SPREAD | {"p05": 0.9}}, "ascend"),
        ("io", {"mean": [0.5, 0.5]}, "io.mean has 2 values"),
        ("io", {"std": [0.0]}, "std"),
        ("io", {"range": [1, 0]}, "range ascends"),
        ("io", {"multiple": 32}, "size and multiple exclude each other"),
        ("io", {"output": "boxes"}, "output"),
    ],
)
def test_a_fact_that_cannot_be_is_refused(
    field: str, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Contract.model_validate(facts(**{field: ADDED[field] | changes}))


@pytest.mark.parametrize("scale", [{"kind": "frame"}, {"kind": "world"}, {"long_side": 480}])
def test_a_scale_that_says_too_little_is_refused(scale: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="scale"):
        Contract.model_validate(facts(scale=scale))


@pytest.mark.parametrize("unit", ["µm", "μm", "um"])
def test_micrometres_may_be_written_in_three_ways(unit: str) -> None:
    scale = {"kind": "physical", "pixel_size": 0.5, "unit": unit}
    contract = Contract.model_validate(facts(scale=scale))
    assert isinstance(contract.scale, PhysicalScale)
    assert contract.scale.unit == "µm"


def test_the_runtimes_are_told_by_the_paths_of_the_files() -> None:
    paths = ["saved_model.pb", "variables/variables.index"]
    fp32, int8 = openvino_path("fp32"), openvino_path("int8")
    paths += [fp32.as_posix(), fp32.with_suffix(".bin").as_posix(), int8.as_posix()]
    both = Contract.model_validate(facts(files=dict.fromkeys(paths, "0" * 64)))
    assert both.runtimes == {"tensorflow": ("fp32",), "openvino": ("fp32",)}
    onnx = facts(files={onnx_path("fp32").as_posix(): "0" * 64})
    assert Contract.model_validate(onnx).runtimes == {"onnx": ("fp32",)}
    assert Contract.model_validate(facts()).runtimes == {}
