import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract import Reference, Spread
from models.contract.typicality import class_shift, picture_statistics, typicality


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 3]), st.integers(0, 99))
def test_the_statistics_are_what_they_are_called(
    height: int, width: int, channels: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    found = picture_statistics(image)
    step = max(1, int(np.sqrt(height * width // 4096)))
    grid = image[::step, ::step].astype(np.float64)
    light = grid.mean(axis=2)
    assert found["brightness"] == pytest.approx(light.mean(), rel=1e-4)
    assert found["contrast"] == pytest.approx(light.std(), abs=0.1)
    color = np.ptp(grid, axis=2).mean() if channels == 3 else 0
    assert found["color"] == pytest.approx(color, rel=1e-4)
    assert found["long_side"] == max(height, width)


def test_the_statistic_that_lies_furthest_out_decides_and_is_named() -> None:
    spread = Spread(mean=100, p05=80, p50=100, p95=120)
    reference = Reference(
        split="val",
        images=5,
        class_shares=(0.5, 0.5),
        confidence=Spread(mean=0.9, p05=0.8, p50=0.9, p95=0.95),
        brightness=spread,
        long_side=Spread(mean=480, p05=480, p50=480, p95=480),
        contrast=spread,
        limit=2.0,
    )
    usual = {"brightness": 110.0, "contrast": 100.0, "confidence": 0.99, "long_side": 480.0}
    assert typicality(usual, reference).score == pytest.approx(0.25)
    assert typicality(usual, reference).reasons == ()
    dark = typicality({**usual, "brightness": 40.0, "confidence": 0.5}, reference)
    assert dark.score == pytest.approx(2.0)
    assert dark.reasons == ("confidence", "brightness")
    assert class_shift((1, 0), (0.5, 0.5)) == 0.5
