"""What a model's probabilities are worth, for its contract and its card: a temperature for each
precision, fitted on val, and the reference of its own data."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.contract import (
    MODEL_CARD_PATH,
    STORED_PRECISIONS,
    Calibration,
    Contract,
    StoredPrecision,
    atomic,
    file_digests,
    openvino_path,
)
from models.data.dataset import Dataset, Sample
from models.export.artefact import ExportError, Measure
from models.export.model_card import with_confidence_section
from models.export.predictors import (
    onnx_file_predictor,
    openvino_file_predictor,
    tensorflow_predictor,
    with_own_scale,
)
from models.export.reference import ReferenceSample
from models.training import calibration
from models.training.evaluation import Predictor
from models.training.temperature import PixelSample, calibrated, fit_temperatures

FITTED_SPLIT = "val"
_MOST_REFERENCE_IMAGES = 200  # of each split


def measure_on(dataset: Dataset, *, report: tuple[str, ...] = ()) -> Measure:
    """What fits the temperatures on val, and says what they are worth there and on the splits of
    `report`. It raises DatasetError."""

    def measure(folder: Path, contract: Contract) -> Contract:
        return _measured(folder, contract, dataset, report)

    return measure


def _measured(
    folder: Path, contract: Contract, dataset: Dataset, report: tuple[str, ...]
) -> Contract:
    if contract.overlap is not None:
        raise ExportError(
            f"the classes of {contract.name} overlap; a temperature is fitted where one class of a "
            "pixel excludes the others"
        )
    found: dict[StoredPrecision, Calibration] = {}
    reference = ReferenceSample(contract)
    held = held_precisions(contract)
    classes = len(contract.classes)
    for precision in held:
        served = precision == held[-1]
        predictor = file_predictor(folder, contract, precision)
        sample = _sample(predictor, dataset, FITTED_SPLIT, reference if served else None)
        temperature, of_classes = fit_temperatures(sample)
        samples = {FITTED_SPLIT: sample} | {
            split: _sample(predictor, dataset, split, None) for split in report
        }
        temperatures = of_classes or (temperature,) * classes
        before = {split: _scores(one, None) for split, one in samples.items()}
        after = {split: _scores(one, temperatures) for split, one in samples.items()}
        found[precision] = Calibration(
            temperature=temperature,
            class_temperatures=of_classes,
            split=FITTED_SPLIT,
            error_before=before[FITTED_SPLIT]["calibration_error"],
            error_after=after[FITTED_SPLIT]["calibration_error"],
            scores=after,
            uncalibrated_scores=before,
        )
        if served and dataset.splits.get("train"):
            _add_to_reference(reference, predictor, dataset, "train")
    card = folder / MODEL_CARD_PATH
    if card.is_file():
        text = with_confidence_section(card.read_text(), contract.classes, found)
        atomic.write_text(card, text)
    return contract.model_copy(
        update={
            "calibration": found,
            "reference": reference.reference(found[held[-1]].temperatures(classes)),
            "operating_points": None,  # they were chosen by other probabilities
            "files": file_digests(folder),
        }
    )


def held_precisions(contract: Contract) -> tuple[StoredPrecision, ...]:
    """The precisions that the files of an artefact compute in; the last one is served by default
    on a CPU."""
    held = {precision for of_runtime in contract.runtimes.values() for precision in of_runtime}
    return tuple(precision for precision in STORED_PRECISIONS if precision in held)


def file_predictor(folder: Path, contract: Contract, precision: StoredPrecision) -> Predictor:
    """Predict as is served in a precision, with the network's own probabilities."""
    if precision in contract.openvino_precisions:
        predictor = openvino_file_predictor(folder / openvino_path(precision), contract)
    elif "tensorflow" in contract.runtimes:
        predictor = tensorflow_predictor(folder, contract)
    else:
        predictor = onnx_file_predictor(folder, contract)
    return with_own_scale(predictor, contract)


def _sample(
    predictor: Predictor, dataset: Dataset, split: str, reference: ReferenceSample | None
) -> PixelSample:
    samples = dataset.split(split)
    pixels = PixelSample(len(dataset.class_list.classes), len(samples))
    for_reference = set(_spread(samples))
    for sample in samples:
        image, mask = sample.read(dataset.channels)
        probabilities = predictor.probabilities(image[np.newaxis])[0]
        pixels.add(mask, probabilities)
        if reference is not None and sample in for_reference:
            reference.add(split, image, probabilities)
    return pixels


def _add_to_reference(
    reference: ReferenceSample, predictor: Predictor, dataset: Dataset, split: str
) -> None:
    for sample in _spread(dataset.split(split)):
        image = sample.read_image(dataset.channels)
        reference.add(split, image, predictor.probabilities(image[np.newaxis])[0])


def _spread(samples: tuple[Sample, ...]) -> Iterator[Sample]:
    count = min(_MOST_REFERENCE_IMAGES, len(samples))
    places = np.linspace(0, len(samples) - 1, count).round().astype(int)
    return (samples[place] for place in places)


def _scores(sample: PixelSample, temperatures: tuple[float, ...] | None) -> dict[str, float]:
    log_probabilities, labels = sample.arrays
    probabilities = np.exp(log_probabilities)
    if temperatures is not None:
        probabilities = calibrated(probabilities, temperatures)
    counted = calibration.Calibration(sample.classes)
    counted.add(labels[np.newaxis, :, np.newaxis], probabilities[np.newaxis, :, np.newaxis])
    return counted.summary()
