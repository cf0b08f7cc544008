import random

import pytest

from models.contract.intensity import (
    IntensityWindow,
    full_window,
    lookup_table,
    model_window,
    percentile_places,
    percentile_window,
    percentiles,
)
from models.contract.preprocessing import PercentileIntensity, WindowIntensity

RULE = PercentileIntensity()


def counts_of(*values: int) -> list[int]:
    counts = [0] * 65_536
    for value in values:
        counts[value] += 1
    return counts


@pytest.mark.parametrize("window", [(0, 65_535), (200, 3000), (0, 1), (5, 260), (65_000, 65_535)])
def test_a_window_is_spread_evenly_and_cut_off_beyond(window: tuple[int, int]) -> None:
    low, high = window
    table = lookup_table(IntensityWindow(low, high), 16)
    assert len(table) == 65_536
    for value in [0, low, high, 65_535, *random.Random(0).sample(range(65_536), 300)]:
        exact = min(255.0, max(0.0, (value - low) / (high - low) * 255))
        assert abs(table[value] - exact) <= 0.5


def test_eight_bits_that_were_widened_come_back() -> None:
    table = lookup_table(full_window(16), 16)
    assert [table[value * 257] for value in range(256)] == list(range(256))


def test_percentiles_leave_out_what_is_rare() -> None:
    values = [*range(1000, 3000)] * 2 + [0, 65_535]
    assert percentile_window(counts_of(*values), RULE, 16, 1) == (1001, 2998)


@pytest.mark.parametrize("count", [1, 2, 999, 1000, 1001, 5000])
def test_the_places_of_percentiles_are_those_of_a_histogram(count: int) -> None:
    for rule in (PercentileIntensity(), PercentileIntensity(low=0, high=100)):
        values = percentiles([1] * count, rule)
        assert percentile_places(count, rule) == values


def test_a_flat_picture_has_all_values() -> None:
    assert percentile_window(counts_of(*[700] * 50), RULE, 16, 3) == full_window(16)


def test_bits_that_the_file_states_go_before_percentiles() -> None:
    counts = counts_of(*range(100, 200))
    assert model_window(counts, 16, 1, 12, RULE) == (0, 4095)
    assert model_window(counts, 16, 1, 16, RULE) == (100, 199)
    assert model_window(counts, 16, 1, None, RULE) == (100, 199)


def test_bits_of_samples_that_were_spread_over_their_type_are_all_of_it() -> None:
    """As PNG wants it: sBIT says how many they were."""
    assert model_window(counts_of(160, 4096, 9000), 16, 1, 12, RULE) == full_window(16)
    assert model_window(counts_of(160, 4095), 16, 1, 12, RULE) == (0, 4095)


def test_without_a_rule_all_values_count() -> None:
    assert model_window(counts_of(5, 9), 16, 3, None, None) == full_window(16)


def test_a_model_s_own_window_goes_before_the_file_s_bits() -> None:
    rule = WindowIntensity(low=-100, high=300)
    assert model_window(counts_of(5, 9), 16, 3, 12, rule) == (-100, 300)
    table = lookup_table(IntensityWindow(-100, 300), 16)
    assert (table[0], table[100], table[300], table[301]) == (64, 128, 255, 255)


def test_a_window_that_does_not_grow_is_refused() -> None:
    with pytest.raises(ValueError, match="not above its begin"):
        WindowIntensity(low=3, high=3)


def test_percentiles_become_what_they_were_in_training() -> None:
    rule = PercentileIntensity(low=0, high=100, gray=(5, 105))
    counts = counts_of(*range(1000, 3001))
    table = lookup_table(percentile_window(counts, rule, 16, 1), 16)
    assert (table[1000], table[2000], table[3000], table[6000]) == (5, 55, 105, 255)
    table = lookup_table(percentile_window(counts, rule, 16, 3), 16)
    assert (table[1000], table[3000]) == (0, 255)


def test_values_that_do_not_grow_are_refused() -> None:
    with pytest.raises(ValueError, match="not above"):
        PercentileIntensity(gray=(100, 100))
