import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.contract import (
    CONTRACT_PATH,
    Contract,
    ContractError,
    file_digests,
    read_contract,
    verify_files,
    write_contract,
)


def facts(**changes: Any) -> dict[str, Any]:
    document = {
        "name": "street",
        "classes": [
            {"id": 0, "name": "road", "color": "#804080"},
            {"id": 1, "name": "car", "color": "#400080"},
        ],
        "ignore": 11,
        "channels": 3,
        "stride": 32,
        "receptive_field_radius": 100,
        "architecture": "unet",
        "upsampling": "bilinear",
        "parameters": 7,
        "files": {},
    }
    return document | changes


def artefact(folder: Path) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    write_contract(folder, Contract.model_validate(facts(files=file_digests(folder))))
    return folder


def change(folder: Path, **changes: object) -> None:
    path = folder / CONTRACT_PATH
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_contract_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "1")
    contract = read_contract(folder)
    verify_files(folder, contract)
    assert contract.classes[1].rgb == (0x40, 0x00, 0x80)
    assert set(contract.files) == {"saved_model.pb", "variables/variables.index"}
    assert len(contract.digest) == 64


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"classes": [{"id": 1, "name": "car", "color": "#000000"}]}, "ids must be 0, 1"),
        (
            {
                "classes": [
                    {"id": 0, "name": "car", "color": "#000000"},
                    {"id": 1, "name": "car", "color": "#000000"},
                ]
            },
            "repeated: car",
        ),
        ({"background": 7}, "background 7 is not a class id"),
        ({"ignore": 1}, "ignore id 1 is the id of class 'car'"),
        ({"channels": 4}, "channels"),
        ({"stride": 0}, "stride"),
        ({"name": "../etc"}, "name"),
    ],
)
def test_a_contract_that_does_not_hold_together_is_refused(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Contract.model_validate(facts(**changes))


def test_a_missing_contract_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="segtrain export"):
        read_contract(tmp_path)


def test_a_half_copied_contract_is_named_as_such(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "1")
    text = (folder / CONTRACT_PATH).read_text()
    (folder / CONTRACT_PATH).write_text(text[:50])
    with pytest.raises(ContractError, match="still being copied"):
        read_contract(folder)


@pytest.mark.parametrize("version", [None, 0, -1, "2", 1.5, True])
def test_a_format_that_is_none_says_which_are_read(version: object, tmp_path: Path) -> None:
    folder = artefact(tmp_path / "1")
    change(folder, format_version=version)
    with pytest.raises(ContractError, match="this segserve reads 1 to 2"):
        read_contract(folder)


def test_a_faulty_field_is_named(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "1")
    document = json.loads((folder / CONTRACT_PATH).read_text()) | {"stride": "wide"}
    (folder / CONTRACT_PATH).write_text(json.dumps(document))
    with pytest.raises(ContractError, match="stride: "):
        read_contract(folder)


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "1")
    (folder / "saved_model.pb").write_bytes(b"other graph")
    with pytest.raises(ContractError, match=r"saved_model\.pb differs"):
        verify_files(folder, read_contract(folder))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "1")
    (folder / "variables" / "variables.index").unlink()
    with pytest.raises(ContractError, match=r"variables\.index is missing"):
        verify_files(folder, read_contract(folder))


def test_the_contract_loads_no_tensorflow() -> None:
    code = (
        "import sys, models.contract; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
