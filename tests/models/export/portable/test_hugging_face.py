"""Folders as Hugging Face's libraries save them, with an ONNX file: what they say is taken, and
what can be read in two ways is asked for."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.cli import main
from models.contract import FrameScale, NativeScale, onnx_path, read_contract

pytest.importorskip("onnx", reason="the onnx extra is not installed")
pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")

NETWORKS = Path(__file__).parent / "networks"
NAMES = ("wall", "building", "sky", "floor", "tree", "ceiling")
CONFIG = {
    "architectures": ["SegformerForSemanticSegmentation"],
    "id2label": {str(n): name for n, name in enumerate(NAMES)},
    "model_type": "segformer",
}
STEPS = {
    "do_normalize": True,
    "do_reduce_labels": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "SegformerImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 256, "width": 512},
}


def folder_of(
    folder: Path,
    *,
    steps: dict[str, Any] | None = None,
    files: tuple[str, ...] = ("onnx/model.onnx",),
    **config: Any,
) -> Path:
    """A folder of a network whose logits are a quarter of the size, as SegFormer's; None leaves a
    field out."""
    for name, document in (
        ("config", CONFIG | config),
        ("preprocessor_config", STEPS | (steps or {})),
    ):
        (folder / "onnx").mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in document.items() if value is not None}
        (folder / f"{name}.json").write_text(json.dumps(kept))
    for file in files:
        shutil.copy(NETWORKS / "quarter.onnx", folder / file)
    return folder


def adopted(path: Path, store: Path, *flags: str) -> int:
    return main(["adopt", str(path), "--name", "theirs", "--store", str(store), "--yes", *flags])


def test_classes_form_and_scale_are_read_from_the_folder(tmp_path: Path) -> None:
    assert adopted(folder_of(tmp_path / "hf"), tmp_path) == 0
    contract = read_contract(tmp_path / "theirs" / "1")
    assert tuple(c.name for c in contract.classes) == NAMES
    assert contract.architecture == "SegformerForSemanticSegmentation"
    assert contract.scale == FrameScale(long_side=512)
    io = contract.io
    assert io is not None
    assert (io.range, io.channel_order) == ((0, 1), "rgb")
    assert (io.mean, io.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    flags = ["--classes", ",".join(NAMES), "--scaling", "0..1"]
    flags += ["--mean", "0.485", "0.456", "0.406", "--std", "0.229", "0.224", "0.225"]
    assert adopted(NETWORKS / "quarter.onnx", tmp_path / "plain", *flags) == 0
    plain = tmp_path / "plain" / "theirs" / "1" / onnx_path("fp32")
    assert plain.read_bytes() == (tmp_path / "theirs" / "1" / onnx_path("fp32")).read_bytes()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # a feature extractor of before there was do_rescale
        ({"do_rescale": None, "rescale_factor": None, "size": 512}, ((0, 1), STEPS["image_mean"])),
        (
            {"do_rescale": False, "image_mean": [123.7, 116.3, 103.5], "image_std": [58, 57, 57]},
            ((0, 255), [123.7, 116.3, 103.5]),
        ),
        ({"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3}, ((0, 255), [127.5] * 3)),
        ({"do_normalize": False}, ((0, 1), None)),
    ],
)
def test_each_way_to_say_the_pixels_form_is_understood(
    tmp_path: Path, steps: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    assert adopted(folder_of(tmp_path / "hf", steps=steps), tmp_path) == 0
    io = read_contract(tmp_path / "theirs" / "1").io
    assert io is not None
    assert io.range == expected[0]
    assert (io.mean is None) == (expected[1] is None)
    if io.mean is not None:
        np.testing.assert_allclose(io.mean, expected[1])


def test_blue_first_a_multiple_and_pixels_as_they_are(tmp_path: Path) -> None:
    steps = {"do_flip_channel_order": True, "size_divisor": 32, "do_resize": False}
    assert adopted(folder_of(tmp_path / "hf", steps=steps), tmp_path) == 0
    contract = read_contract(tmp_path / "theirs" / "1")
    assert contract.scale == NativeScale()
    assert contract.stride == 32
    assert contract.io is not None
    assert (contract.io.channel_order, contract.io.multiple) == ("bgr", 32)


@pytest.mark.parametrize(
    ("changes", "sentence", "flags"),
    [
        ({"steps": {"image_mean": [123.7] * 3}}, "can be read in two ways", ("--scaling", "none")),
        ({"steps": {"do_rescale": False}}, "can be read in two ways", ("--scaling", "0..1")),
        ({"steps": {"image_mean": None}}, "does not say by what", ("--scaling", "0..1")),
        (
            {"steps": {"size": {"shortest_edge": 512}}},
            "does not say how long their longer side",
            ("--scale", "native"),
        ),
        ({"id2label": {"0": "a", "2": "b"}}, "are not 0, 1, … in order", ("--classes", "abcdef")),
        ({"id2label": dict.fromkeys("012345", "x")}, "'x' more than once", ("--classes", "abcdef")),
        ({"id2label": None}, "has no id2label", ("--classes", "abcdef")),
        ({"architectures": ["SegformerForImageClassification"]}, "of semantic segmentation", None),
        ({"files": ()}, "holds no ONNX file", None),
        ({"files": ("onnx/model.onnx", "onnx/small.onnx")}, "holds 2 ONNX files", None),
    ],
)
def test_two_readings_are_refused_until_one_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    sentence: str,
    flags: tuple[str, ...] | None,
) -> None:
    folder = folder_of(tmp_path / "hf", **changes)
    assert adopted(folder, tmp_path / "store") == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "store").exists()
    if flags is not None:
        spread = [",".join(flag) if flag == "abcdef" else flag for flag in flags]
        assert adopted(folder, tmp_path / "store", *spread) == 0


def test_one_of_several_files_is_named_by_its_path(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "hf", files=("onnx/model.onnx", "onnx/small.onnx"))
    assert adopted(folder / "onnx" / "small.onnx", tmp_path) == 0
    assert len(read_contract(tmp_path / "theirs" / "1").classes) == len(NAMES)


def test_what_is_no_json_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path / "hf")
    (folder / "preprocessor_config.json").write_text("{")
    assert adopted(folder, tmp_path) == 1
    assert "is not JSON" in capsys.readouterr().err
