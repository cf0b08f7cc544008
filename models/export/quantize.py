"""int8 files for OpenVINO by NNCF: post-training quantisation with a calibration set (Kozlov et al.
2020, "Neural Network Compression Framework for fast model inference"), and the check that they
still answer well."""

import itertools
import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.contract import (
    MODEL_CARD_PATH,
    OPENVINO_PATH,
    Contract,
    Quantization,
    atomic,
    file_digests,
    find_versions,
    openvino_path,
    read_contract,
    verify_files,
    write_contract,
)
from models.contract.openvino_core import openvino_core
from models.contract.working_size import ScaleRequest, wanted_ratio, working_size
from models.data.dataset import Dataset, Sample
from models.export.artefact import ExportError
from models.export.confidence import measure_on
from models.export.model_card import with_int8_section
from models.export.openvino import convert_to_openvino, layer_names, write_openvino
from models.export.predictors import mirrored_to, openvino_file_predictor, with_own_scale
from models.training.evaluation import Images, evaluate
from models.training.metrics import Scores
from models.training.robustness import exposed
from models.training.scaled import resized

if TYPE_CHECKING:
    import nncf
    import openvino

CALIBRATION_SPLIT, CHECKED_SPLIT = "train", "val"
DEFAULT_IMAGES = 300  # NNCF's own number
# How calibration images are exposed, in turn: a range that no bright picture is in cuts off what is
# brighter in use. Darker ones are within the ranges.
CALIBRATION_STOPS = (0, 0, 1, 2)
DEFAULT_MAX_DROP_POINTS = 0.5


@dataclass(frozen=True)
class QuantizeOptions:
    """`max_drop_points` is the most that val mIoU may fall, in points of 100. `keep_float` are
    regular expressions for names of layers. Without `keep_fp32` the new artefact has int8 files
    alone."""

    images: int = DEFAULT_IMAGES
    max_drop_points: float = DEFAULT_MAX_DROP_POINTS
    keep_float: tuple[str, ...] = ()
    keep_fp32: bool = True


@dataclass(frozen=True)
class Quantized:
    """Where the artefact is, and both scores on the val split."""

    artefact: Path
    float_scores: Scores
    int8_scores: Scores


def quantize(
    artefact: Path, dataset: Dataset, options: QuantizeOptions, *, replace: bool
) -> Quantized:
    """Write `artefact` with int8 files as the next version, or in its own place.

    The folder appears whole, and where it takes its own place, a server that watches the store
    finds one or the other. Raises ExportError, ContractError and DatasetError; nothing is left
    behind then.
    """
    contract = read_contract(artefact)
    verify_files(artefact, contract)
    model = _float_model(artefact, contract)
    kept = _kept_layers(model, options.keep_float)
    samples = _spread(dataset.split(CALIBRATION_SPLIT), options.images)
    int8 = _calibrate(model, samples, contract, kept)
    target = artefact if replace else artefact.parent / str(find_versions(artefact.parent).next)
    with atomic.replacing_folder(target) if replace else atomic.new_folder(target) as folder:
        shutil.copytree(artefact, folder, dirs_exist_ok=True)
        fp32_path = write_openvino(model, folder, "fp32")
        int8_path = write_openvino(int8, folder, "int8")
        before = score_file(fp32_path, dataset, contract)
        after = score_file(int8_path, dataset, contract)
        _refuse_large_drop(before, after, options.max_drop_points, layer_names(model))
        if not options.keep_fp32:
            for path in (folder / OPENVINO_PATH).glob(f"{openvino_path('fp32').stem}.*"):
                path.unlink()
        _describe(folder, contract, before, after, len(samples), kept, dataset)
    return Quantized(target, before, after)


def _float_model(artefact: Path, contract: Contract) -> "openvino.Model":
    if not {"tensorflow", "openvino"} & set(contract.runtimes):
        raise ExportError(
            f"{artefact} holds an ONNX file alone, which ONNX Runtime serves; int8 files are "
            "OpenVINO's: adopt it again without --runtime onnx"
        )
    if "fp32" not in contract.openvino_precisions:
        return convert_to_openvino(artefact)
    return openvino_core().read_model(artefact / openvino_path("fp32"))


def _kept_layers(model: "openvino.Model", patterns: Sequence[str]) -> tuple[str, ...]:
    """The layers that a pattern finds. Raises ExportError for a pattern that is none or finds
    none."""
    names = layer_names(model)
    kept: set[str] = set()
    for pattern in patterns:
        try:
            found = {name for name in names if re.search(pattern, name)}
        except re.error as error:
            raise ExportError(
                f"--keep-float {pattern!r} is not a regular expression: {error}"
            ) from None
        if not found:
            raise ExportError(
                f"--keep-float {pattern!r} finds no layer; there are {', '.join(names)}"
            )
        kept |= found
    return tuple(name for name in names if name in kept)


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """`count` samples evenly from the whole list: neighbours in a split are often one video's."""
    if not samples:
        raise ExportError(f"the {CALIBRATION_SPLIT} split is empty, and int8 is calibrated on it")
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[place] for place in places]


def _calibrate(
    model: "openvino.Model", samples: Sequence[Sample], contract: Contract, kept: Sequence[str]
) -> "openvino.Model":
    import nncf

    logging.getLogger("nncf").setLevel(logging.WARNING)

    def seen(shown: tuple[Sample, int]) -> Images:
        sample, stops = shown
        image = exposed(stops)(sample.read_image(contract.channels))
        return image[np.newaxis] if contract.io is None else _as_served(image, contract)

    shown = list(zip(samples, itertools.cycle(CALIBRATION_STOPS), strict=False))
    return quantized_graph(model, nncf.Dataset(shown, seen), len(shown), kept)


def quantized_graph(
    model: "openvino.Model", images: "nncf.Dataset", count: int, kept: Sequence[str]
) -> "openvino.Model":
    """The model in int8, calibrated on `count` images; the layers `kept` stay in floating point.

    A tensor's range holds all that any image put there. NNCF's own choice is the mean of the
    images' ranges, so the brightest pictures are cut off.

    NNCF gives the input of a depthwise convolution a range a channel, and finds the channels on
    axis 1, which behind TensorFlow's resizing is the height: a row would have a range, and the
    graph one height. Such a graph is made again with a range a tensor.
    """
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    def quantized(activations: QuantizationParameters | None = None) -> "openvino.Model":
        return nncf.quantize(
            model,
            images,
            subset_size=count,
            preset=nncf.QuantizationPreset.MIXED,  # not every network's activations begin at zero
            ignored_scope=nncf.IgnoredScope(names=list(kept)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                activations_quantization_params=activations,
            ),
        )

    int8 = quantized()
    if _has_a_range_a_row(int8):
        return quantized(QuantizationParameters(per_channel=False))
    return int8


def _has_a_range_a_row(model: "openvino.Model") -> bool:
    """Whether something is quantised by ranges along an axis whose length is not fixed."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            data, ranges = (node.input(place).get_partial_shape() for place in (0, 1))
            if data.rank.is_static and len(data) == len(ranges):
                pairs = zip(data, ranges, strict=True)
                if any(size.is_dynamic and one.get_max_length() != 1 for size, one in pairs):
                    return True
    return False


def _as_served(image: NDArray[np.uint8], contract: Contract) -> Images:
    """An image (1, H, W, C) at the size at which an adopted network sees it: of one that takes one
    size alone, its middle where it is larger."""
    height, width = image.shape[:2]
    ratio, exact = wanted_ratio(max(height, width), contract.scale, ScaleRequest.parse("auto"))
    working = working_size(height, width, ratio, (1.0,), exact=exact)
    if working is not None:
        image = resized(image, working.height, working.width)
    if contract.only_size is None:
        return image[np.newaxis]
    for axis, side in enumerate(contract.only_size):
        first = max(0, (image.shape[axis] - side) // 2)
        image = image.take(range(first, min(first + side, image.shape[axis])), axis=axis)
    return mirrored_to(image[np.newaxis], contract.only_size)


def score_file(path: Path, dataset: Dataset, contract: Contract) -> Scores:
    """What an OpenVINO file scores on the split that both precisions are compared on."""
    predictor = openvino_file_predictor(path, contract)
    if contract.io is not None:
        predictor = with_own_scale(predictor, contract)
    return evaluate(predictor, dataset, CHECKED_SPLIT, batch_size=1).scores()


def _refuse_large_drop(
    before: Scores, after: Scores, most_points: float, layers: Sequence[str]
) -> None:
    points = 100 * (before.mean_iou - after.mean_iou)
    if not points <= most_points:  # NaN is refused too
        raise ExportError(
            f"int8 loses {points:.2f} points of val mIoU ({before.mean_iou:.4f} to "
            f"{after.mean_iou:.4f}) and --max-drop is {most_points:g}; nothing was written. "
            "Calibrate with more --images, or keep the first and last layers in floating point: "
            f"--keep-float '^{layers[0]}$' '^{layers[-1]}$'"
        )


def _describe(
    folder: Path,
    contract: Contract,
    before: Scores,
    after: Scores,
    images: int,
    kept: tuple[str, ...],
    dataset: Dataset,
) -> None:
    """Card, then contract, which is written last."""
    quantization = Quantization(
        calibration_images=images,
        kept_float=kept,
        scores={CHECKED_SPLIT: after.summary()},
        float_scores={CHECKED_SPLIT: before.summary()},
    )
    card = folder / MODEL_CARD_PATH
    if card.is_file():
        card.write_text(with_int8_section(card.read_text(), quantization))
    changed = {"quantization": quantization, "files": file_digests(folder)}
    described = contract.model_copy(update=changed)
    write_contract(folder, measure_on(dataset)(folder, described))
