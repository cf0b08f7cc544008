from pathlib import Path

import numpy as np
import pytest

from models.contract import Contract, Reference, read_contract
from models.contract.typicality import picture_statistics, typicality
from models.export.reference import ReferenceSample

ZOO = Path(__file__).parents[3] / "models" / "zoo"
SIDE = 32


@pytest.fixture(scope="module")
def contract() -> Contract:
    return read_contract(ZOO / "nuclei" / "1").model_copy(update={"scale": None})


def add(sample: ReferenceSample, split: str, brightness: float, confidence: float) -> None:
    image = np.full((SIDE, SIDE, 3), round(brightness), np.uint8)
    probabilities = np.empty((SIDE, SIDE, 2), np.float32)
    probabilities[..., 0], probabilities[..., 1] = confidence, 1 - confidence
    sample.add(split, image, probabilities)


def score_of(reference: Reference, brightness: float, confidence: float) -> float:
    statistics = picture_statistics(np.full((SIDE, SIDE, 3), round(brightness), np.uint8))
    return typicality({**statistics, "confidence": confidence}, reference).score


def test_a_new_drive_may_lie_as_far_from_the_known_ones_as_these_from_each_other(
    contract: Contract,
) -> None:
    sample = ReferenceSample(contract)
    for frame in range(12):
        add(sample, "val", 100 + frame % 3, 0.95)
    for drive in (60, 90, 120, 150):
        for frame in range(15):
            add(sample, "train", drive + frame % 5, 0.95)
    found = sample.reference((1.0, 1.0))
    assert found.limit is not None
    assert found.limit > 1.4
    assert max(score_of(found, light, 0.95) for light in (40, 60, 154, 170)) <= 1
    assert min(score_of(found, light, 0.95) for light in (0, 220)) > 1
    assert (found.split, found.images) == ("val+train", 72)


def test_what_it_was_trained_on_is_no_stranger_where_it_is_less_sure_than_of_val(
    contract: Contract,
) -> None:
    sample = ReferenceSample(contract)
    for frame in range(20):
        add(sample, "val", 100, 0.95 - frame % 3 / 100)
        add(sample, "train", 100, 0.85 if frame % 2 else 0.99)
    found = sample.reference((1.0, 1.0))
    assert found.confidence.p50 == pytest.approx(0.94, abs=1e-4)
    assert score_of(found, 100, 0.86) <= 1
    assert score_of(found, 100, 0.6) > 1


def test_a_single_picture_is_enough(contract: Contract) -> None:
    sample = ReferenceSample(contract)
    add(sample, "val", 100, 0.9)
    found = sample.reference((1.0, 1.0))
    assert found.limit == 1
    assert score_of(found, 100, 0.9) == 0
