import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.training.calibration import Calibration
from models.training.temperature import (
    LEAST_IMAGES,
    PixelSample,
    calibrated,
    fit_temperature,
    fit_temperatures,
)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float32] = (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return shares


def drawn(seed: int, pixels: int, scale: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Probabilities (pixels, 4) that are too sure by `scale`, and classes drawn by the true
    ones."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 2, (pixels, 4))
    truth = softmax(logits)
    labels = (truth.cumsum(axis=1) < draw.random((pixels, 1))).sum(axis=1).clip(0, 3)
    return softmax(logits * scale), labels.astype(np.uint8)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.6])
def test_the_temperature_that_was_laid_on_is_found_again(scale: float) -> None:
    probabilities, labels = drawn(1, 20_000, scale)
    assert fit_temperature(np.log(probabilities), labels) == pytest.approx(scale, rel=0.05)


def test_what_was_too_sure_is_honest_afterwards() -> None:
    probabilities, labels = drawn(2, 20_000, 2.0)
    temperature = fit_temperature(np.log(probabilities), labels)
    errors = []
    for shown in (probabilities, calibrated(probabilities, (temperature,) * 4)):
        calibration = Calibration(4)
        calibration.add(labels[np.newaxis, np.newaxis], shown[np.newaxis, np.newaxis])
        errors.append(calibration.summary())
    before, after = errors
    assert before["calibration_error"] > 0.1
    assert all(after[name] < before[name] for name in before)
    assert after["calibration_error"] < 0.015


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    temperatures=st.lists(st.floats(0.25, 4), min_size=3, max_size=3),
    sharpness=st.floats(0, 30),
)
def test_no_class_changes_whatever_the_temperatures(
    seed: int, temperatures: list[float], sharpness: float
) -> None:
    logits = np.random.default_rng(seed).normal(0, 1 + sharpness, (40, 3))
    probabilities = softmax(logits)
    after = calibrated(probabilities, temperatures)
    strongest = np.take_along_axis(after, probabilities.argmax(axis=-1)[:, np.newaxis], axis=-1)
    np.testing.assert_array_equal(strongest[:, 0], after.max(axis=-1))
    np.testing.assert_allclose(after.sum(axis=-1), 1, rtol=1e-5)


def sample_of(images: int, scales: tuple[float, ...]) -> PixelSample:
    """A split whose pixels are too sure by the scale of the class that they are given."""
    sample = PixelSample(4, images)
    for seed in range(images):
        true, labels = drawn(seed, 600, 1.0)
        given_class = true.argmax(axis=1)
        laid_on = np.asarray(scales)[given_class][:, np.newaxis]
        sample.add(labels[:, np.newaxis], softmax(np.log(true) * laid_on)[:, np.newaxis])
    return sample


def test_each_class_has_its_own_where_that_proves_better_on_both_halves() -> None:
    _, by_class = fit_temperatures(sample_of(LEAST_IMAGES, (0.6, 1.0, 1.5, 3.0)))
    assert by_class is not None
    np.testing.assert_allclose(by_class, (0.6, 1.0, 1.5, 3.0), rtol=0.15)
    assert fit_temperatures(sample_of(LEAST_IMAGES, (1.5,) * 4))[1] is None
    few = sample_of(LEAST_IMAGES - 1, (0.6, 1.0, 1.5, 3.0))
    assert fit_temperatures(few)[1] is None
