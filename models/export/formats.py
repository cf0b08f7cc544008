"""A network of ours in other runtimes' files: what its SavedModel does, any size, normalization and
argmax inside. Each file is run by its own runtime against the SavedModel before it is kept."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from models.contract import (
    MODEL_CARD_PATH,
    SAVED_MODEL_PATH,
    SegmentationClass,
    atomic,
    file_digests,
    find_versions,
    litert_path,
    onnx_path,
    openvino_path,
    read_contract,
    verify_files,
    write_contract,
)
from models.export.artefact import ExportError
from models.export.format_options import FormatName
from models.export.litert_export import litert_predictor, write_litert
from models.export.odd_sizes import VERIFIED_SIZES, smooth_noise
from models.export.onnx_export import onnx_predictor, write_onnx
from models.export.openvino import convert_to_openvino, write_openvino
from models.training.evaluation import Predictor, openvino_predictor, saved_model_predictor

REQUIRED_AGREEMENT = 0.999  # of pixels: kernels of another runtime, and its order of sums
_PROBABILITY_TOLERANCE = 0.02


@dataclass(frozen=True)
class Described:
    """The network that is written; all but `channels` goes along with a file as its metadata."""

    name: str
    channels: int
    classes: Sequence[SegmentationClass]
    card: str


@dataclass(frozen=True)
class Format:
    """`write` puts the file of a SavedModel folder to a path, `predictor` runs it. `packages` are
    those that both need, which `extra` of ours brings."""

    path: Path
    packages: tuple[str, ...]
    extra: str
    write: Callable[[Path, Path, Described], None]
    predictor: Callable[[Path], Predictor]


def _write_openvino(artefact: Path, _path: Path, _described: Described) -> None:
    write_openvino(convert_to_openvino(artefact), artefact, "fp32")


FORMATS: Mapping[FormatName, Format] = {
    "onnx": Format(
        onnx_path("fp32"),
        ("onnx", "onnxruntime", "tf2onnx"),
        "onnx",
        lambda artefact, path, known: write_onnx(
            artefact, path, known.name, known.classes, known.card
        ),
        onnx_predictor,
    ),
    "litert": Format(
        litert_path("fp32"),
        ("ai_edge_litert",),
        "litert",
        lambda artefact, path, known: write_litert(artefact, path, known.classes, known.card),
        litert_predictor,
    ),
    "openvino": Format(
        openvino_path("fp32"),
        ("openvino",),
        "cpu",
        _write_openvino,
        lambda path: openvino_predictor(path, "fp32"),
    ),
}


def require_installed(formats: Sequence[FormatName]) -> None:
    """Raise ExportError where what writes or runs one is not there."""
    for name in formats:
        for package in FORMATS[name].packages:
            if find_spec(package) is None:
                extra = FORMATS[name].extra
                raise ExportError(
                    f"{package} is not installed, which {name} needs; the {extra} extra brings it: "
                    f"pip install segserve[{extra}]"
                )


def write_formats(folder: Path, formats: Sequence[FormatName], described: Described) -> None:
    """Write the files into an artefact's folder that holds a SavedModel already. Raises
    ExportError where one cannot be written, or answers otherwise."""
    for name in formats:
        row = FORMATS[name]
        path = folder / row.path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            row.write(folder, path, described)
        except Exception as error:  # each converter has errors of its own
            raise ExportError(
                f"this network cannot be converted to {name}: {_cause(error)}"
            ) from error
        _require_agreement(
            name, saved_model_predictor(folder), row.predictor(path), described.channels
        )


def _cause(error: Exception) -> str:
    """The operators that a converter does not have, where it names them, else its last line."""
    lacking = re.search(r"(?:ops|Ops): ((?:\w+, )*\w+)\s*$", str(error), re.MULTILINE)
    if lacking:
        return f"it has no {lacking[1]}; build it with another upsampling"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:200]


def add_formats(artefact: Path, formats: Sequence[FormatName], version: int | None) -> Path:
    """Write an artefact of ours with the files as the next version, or `version`, and give its
    path. Raises ExportError and ContractError."""
    require_installed(formats)
    contract = read_contract(artefact)
    verify_files(artefact, contract)
    if not (artefact / SAVED_MODEL_PATH).is_file():
        raise ExportError(
            f"{artefact} holds no SavedModel, as an adopted model does not; its own file is "
            "what to take elsewhere"
        )
    there = find_versions(artefact.parent)
    version = there.next if version is None else version
    if version in there.folders:
        raise ExportError(f"{there.folders[version]} is there already; choose another --version")
    card = artefact / MODEL_CARD_PATH
    text = card.read_text() if card.is_file() else ""
    described = Described(contract.name, contract.channels, contract.classes, text)
    target = artefact.parent / str(version)
    with atomic.new_folder(target) as folder:
        shutil.copytree(artefact, folder, dirs_exist_ok=True)
        write_formats(folder, formats, described)
        write_contract(folder, contract.model_copy(update={"files": file_digests(folder)}))
    return target


def _require_agreement(name: str, saved: Predictor, other: Predictor, channels: int) -> None:
    draw = np.random.default_rng(0)
    pixels = equal = 0
    largest = 0.0
    for height, width in VERIFIED_SIZES:
        images = smooth_noise(draw, height, width, channels)[np.newaxis]
        expected = saved.probabilities(images)
        try:
            answered, class_map = other.probabilities(images), other.class_maps(images)
        except Exception as error:  # each runtime has errors of its own
            raise ExportError(
                f"the {name} file does not run on a {width}×{height} image: "
                f"{str(error).strip().splitlines()[0][:200]}. Nothing was written"
            ) from error
        if class_map.shape != images.shape[:3]:
            raise ExportError(
                f"the {name} file gives {class_map.shape[2]}×{class_map.shape[1]} pixels of a "
                f"{width}×{height} image. Nothing was written"
            )
        largest = max(largest, float(np.abs(answered - expected).max()))
        best = expected.max(axis=-1)
        chosen = np.take_along_axis(expected, class_map[..., np.newaxis].astype(np.intp), -1)
        equal += int((best - chosen[..., 0] <= 1e-6).sum())  # ties may go either way
        pixels += class_map.size
    if equal < REQUIRED_AGREEMENT * pixels or not largest <= _PROBABILITY_TOLERANCE:
        raise ExportError(
            f"the {name} file gives {equal / pixels:.2%} of the pixels the class that the "
            f"SavedModel does, with probabilities off by up to {largest:.2g}; "
            f"{REQUIRED_AGREEMENT:.1%} and {_PROBABILITY_TOLERANCE:g} are required. Nothing was "
            "written"
        )
