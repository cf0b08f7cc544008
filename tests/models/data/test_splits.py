from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.dataset import DatasetError, Sample
from models.data.layouts.layout import UNSPLIT
from models.data.masks import FileMask
from models.data.options import SplitOptions
from models.data.splits import groups_in_two_splits, split_samples

FOLDER = Path("data")


def samples(count: int, name: str = "{}.png") -> list[Sample]:
    return [
        Sample(FOLDER / "images" / name.format(n), FileMask(FOLDER / "masks" / name.format(n)))
        for n in range(count)
    ]


def test_files_added_later_move_none_of_the_old() -> None:
    options = SplitOptions(fraction=0.2, test=0.1)
    before = split_samples({UNSPLIT: samples(400)}, FOLDER, options)
    after = split_samples({UNSPLIT: samples(700)}, FOLDER, options)
    for name, entries in before.items():
        assert set(entries) <= set(after[name])
    assert 50 <= len(before["val"]) <= 110
    assert 20 <= len(before["test"]) <= 60


@given(st.integers(2, 40), st.floats(0, 0.9), st.integers(0, 50))
def test_every_sample_is_in_one_split_and_none_is_empty(
    count: int, share: float, seed: int
) -> None:
    pool = samples(count)
    splits = split_samples({UNSPLIT: pool}, FOLDER, SplitOptions(fraction=share, seed=seed))
    assert sorted(s.image for part in splits.values() for s in part) == sorted(
        s.image for s in pool
    )
    assert all(splits.values())
    assert ("val" in splits) == (share > 0)


def test_a_val_that_the_data_has_is_left_alone() -> None:
    pool = samples(20)
    splits = split_samples({"train": pool[:15], "val": pool[15:]}, FOLDER, SplitOptions())
    assert splits == {"train": tuple(pool[:15]), "val": tuple(pool[15:])}


def test_a_missing_val_is_taken_off_train_and_never_off_test() -> None:
    pool = samples(40)
    splits = split_samples({"train": pool[:30], "test": pool[30:]}, FOLDER, SplitOptions())
    assert splits["test"] == tuple(pool[30:])
    assert {*splits["train"], *splits["val"]} == set(pool[:30])


def test_without_validation_val_is_a_part_of_train() -> None:
    pool = samples(20)
    options = SplitOptions(validation=False, test=0.2)
    own = split_samples({"train": pool[:9], "val": pool[9:12], "test": pool[12:]}, FOLDER, options)
    assert own == {"train": tuple(pool[:12]), "test": tuple(pool[12:])}
    drawn = split_samples({UNSPLIT: pool}, FOLDER, options)
    assert list(drawn) == ["train", "test"]
    assert {*drawn["train"], *drawn["test"]} == set(pool)
    held = split_samples({UNSPLIT: pool}, FOLDER, SplitOptions(fraction=0, test=0.2))
    assert drawn["test"] == held["test"]


def test_images_of_one_group_stay_together() -> None:
    pool = [s for patient in range(12) for s in samples(5, f"p{patient}_{{}}.png")]
    splits = split_samples({UNSPLIT: pool}, FOLDER, SplitOptions(fraction=0.3, group=r"(p\d+)_"))
    patients = {name: {s.group for s in part} for name, part in splits.items()}
    assert not patients["train"] & patients["val"]
    assert len(splits["val"]) % 5 == 0


def test_another_seed_divides_otherwise() -> None:
    first, second = (
        split_samples({UNSPLIT: samples(60)}, FOLDER, SplitOptions(seed=seed))["val"]
        for seed in (1, 2)
    )
    assert first != second


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"matches no image, such as images/0\.png"):
        split_samples({UNSPLIT: samples(4)}, FOLDER, SplitOptions(group="patient"))


def test_a_group_that_the_data_tears_apart_is_found() -> None:
    pool = samples(4, "p1_{}.png")
    splits = split_samples({"train": pool[:2], "val": pool[2:]}, FOLDER, SplitOptions(group=r"p\d"))
    (issue,) = groups_in_two_splits(splits)
    assert issue.text.startswith("the group 'p1' has images in train and val")
