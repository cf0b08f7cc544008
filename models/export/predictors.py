"""Predict by an artefact's files as they are served: also networks of one size or one image, and
ONNX files of another maker."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract, ContractError, ModelIO, StoredPrecision, onnx_path
from models.contract.working_size import ScaleRequest
from models.export.adopt_options import AdoptOptions
from models.export.onnx_export import onnx_predictor
from models.training.evaluation import (
    Images,
    Predictor,
    Probabilities,
    by_probabilities,
    openvino_predictor,
    saved_model_predictor,
    with_sliding_window,
)
from models.training.scaled import with_scale


def tensorflow_predictor(artefact: Path, contract: Contract) -> Predictor:
    """Predict by an artefact's SavedModel."""
    return _of_top_classes(saved_model_predictor(artefact), contract)


def openvino_file_predictor(
    file: Path, contract: Contract, precision: Literal["fp32", "bf16"] = "fp32"
) -> Predictor:
    """Predict by an OpenVINO file of an artefact with this contract."""
    return _of_any_size(_of_top_classes(openvino_predictor(file, precision), contract), contract.io)


def onnx_file_predictor(artefact: Path, contract: Contract) -> Predictor:
    """Predict by an artefact's ONNX file. Raises ContractError where it holds none."""
    if "onnx" not in contract.runtimes:
        raise ContractError(f"{artefact} holds no ONNX file; `segtrain export --format onnx` does")
    path = artefact / onnx_path("fp32")
    if contract.io is None:
        return onnx_predictor(path)
    predictor = _of_top_classes(_external_predictor(path, contract, contract.io), contract)
    return _of_any_size(predictor, contract.io)


def with_own_scale(predictor: Predictor, contract: Contract) -> Predictor:
    """See pictures at the size at which the contract has them served."""
    return with_scale(predictor, contract.scale, ScaleRequest.parse("auto"))


def default_engine(contract: Contract) -> Literal["tensorflow", "openvino-fp32", "onnx"]:
    """What an artefact is scored by where nothing is said."""
    if "tensorflow" in contract.runtimes:
        return "tensorflow"
    held: tuple[StoredPrecision, ...] = contract.openvino_precisions
    return "openvino-fp32" if "fp32" in held else "onnx"


def _of_any_size(predictor: Predictor, io: ModelIO | None) -> Predictor:
    if io is None:
        return predictor
    if io.batch_size == 1:
        predictor = _one_by_one(predictor)
    return predictor if io.size is None else _with_only_size(predictor, io.size)


def _of_top_classes(predictor: Predictor, contract: Contract) -> Predictor:
    """Where classes overlap, the one on top is sure: a mask to compare with has one class a pixel,
    and what is windowed or scaled ends in the strongest."""
    if contract.overlap is None:
        return predictor
    sure = np.eye(len(contract.classes), dtype=np.float32)
    return Predictor(predictor.class_maps, lambda images: sure[predictor.class_maps(images)])


def _one_by_one(predictor: Predictor) -> Predictor:
    return Predictor(
        lambda images: np.concatenate([predictor.class_maps(one[np.newaxis]) for one in images]),
        lambda images: np.concatenate([predictor.probabilities(one[np.newaxis]) for one in images]),
    )


def _with_only_size(predictor: Predictor, size: tuple[int, int]) -> Predictor:
    """Smaller pictures are mirrored up to the one size, larger ones cut into windows of it."""

    def probabilities(images: Images) -> Probabilities:
        return predictor.probabilities(mirrored_to(images, size))[
            :, : images.shape[1], : images.shape[2]
        ]

    return with_sliding_window(by_probabilities(probabilities), size)


def mirrored_to(images: Images, size: tuple[int, int]) -> Images:
    """Images (N, H, W, C) that are no larger than `size`, mirrored at the bottom and right."""
    for axis, side in zip((1, 2), size, strict=True):
        own = images.shape[axis]
        widths = [(0, 0)] * 4
        widths[axis] = (0, side - own)
        mode: Literal["reflect", "edge"] = "reflect" if own > 1 else "edge"
        images = np.pad(images, widths, mode=mode)
    return images


def _external_predictor(path: Path, contract: Contract, io: ModelIO) -> Predictor:
    """Another maker's ONNX file, by ONNX Runtime and numpy."""
    from models.export.io_inference import infer_io_spec
    from models.export.portable.judging import own_answers
    from models.export.portable.onnx_files import read_onnx

    scaling = {(0.0, 1.0): "0..1", (-1.0, 1.0): "-1..1"}.get(io.range, "none")
    options = AdoptOptions.model_validate(
        {
            "scaling": None if io.dtype == "uint8" else scaling,
            "mean": io.mean,
            "std": io.std,
            "channel_order": io.channel_order,
            "axes": io.layout,
            "channels": contract.channels,
            "size": io.size,
            "multiple": None if io.size else io.multiple,
            "output": io.output,
            "threshold": io.threshold,
            "output_name": io.output_name,
            "priority": "" if contract.overlap else None,
            "runtime": "onnx",
        }
    )
    network = read_onnx(path, options)
    classes = len(contract.classes)
    io_spec = infer_io_spec(network, classes, options, other_sizes="")
    answer = own_answers(network, io_spec, options, classes, contract.overlap)

    def each(images: Images, place: int) -> NDArray[np.generic]:
        return np.stack([answer(image)[place] for image in images])

    return Predictor(
        lambda images: each(images, 0),  # type: ignore[arg-type, return-value]
        lambda images: each(images, 1),  # type: ignore[arg-type, return-value]
    )
