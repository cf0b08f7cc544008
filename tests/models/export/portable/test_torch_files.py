"""What is said of PyTorch's files where torch is not installed, and of those that hold pickled
code. `make test-torch` adopts real ones."""

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from models.cli import main
from models.export.portable import torch_files


def archive(path: Path, files: Mapping[str, Any]) -> Path:
    """As torch writes them: a zip whose files lie below one folder."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(f"archive/{name}", content)
    return path


def exported(path: Path, **weight: Any) -> Path:
    """As torch.export.save writes it; `weight` changes what is said of one of its weights."""
    one = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": {}}
    config = {"config": {"conv.weight": one | {"tensor_meta": {"dtype": 7}} | weight}}
    files = {"archive_format": "pt2", "data/weights/model_weights_config.json": json.dumps(config)}
    return archive(path, files)


SCRIPT = {"constants.pkl": b"", "data.pkl": b"", "code/__torch__/net.py": "", "version": "3"}
WEIGHTS = {"data.pkl": pickle.dumps({}), "version": "3"}


def refusal(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    command = ["adopt", str(file), "--name", "x", "--classes", "a,b", "--scaling", "0..1", "--yes"]
    assert main([*command, "--store", str(file.parent / "store")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not (file.parent / "store").exists()
    return said


def test_weights_and_pickled_modules_are_told_from_what_holds_a_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(archive(tmp_path / "weights.pt", WEIGHTS), capsys)
    assert "is not opened" in said
    assert "torch.export.save" in said


@pytest.mark.parametrize(
    "weight", [{"use_pickle": True}, {"path_name": "custom_obj_0", "tensor_meta": None}]
)
def test_pickled_objects_in_an_exported_program_are_not_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weight: dict[str, Any]
) -> None:
    said = refusal(exported(tmp_path / "net.pt2", **weight), capsys)
    assert "pickled objects (conv.weight)" in said


def test_compiled_code_and_lists_of_another_form_are_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled = {"archive_format": "pt2", "data/aotinductor/net.so": b""}
    assert "compiled code" in refusal(archive(tmp_path / "code.pt2", compiled), capsys)
    other = {"archive_format": "pt2", "data/weights/model_weights_config.json": "[]"}
    assert "torch 2.8 or later" in refusal(archive(tmp_path / "other.pt2", other), capsys)


def test_without_torch_what_to_do_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_files, "find_spec", lambda _: None)
    assert "pip install torch" in refusal(exported(tmp_path / "net.pt2"), capsys)
    script = archive(tmp_path / "net.torchscript", SCRIPT)
    assert "is a TorchScript file" in refusal(script, capsys)
