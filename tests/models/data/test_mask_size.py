"""Masks that are their pictures, scaled."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.examination import examine
from models.data.mask_size import fitted, is_scaled
from models.data.reading import read_dataset, scan_dataset
from models.data.repair import suggest_repair, write_repaired
from tests.models.conftest import write_dataset


@pytest.mark.parametrize(
    ("mask", "picture", "scaled"),
    [
        ((20, 28), (40, 56), True),
        ((13, 19), (40, 56), True),  # 13.3 and 18.7
        ((120, 168), (40, 56), True),
        ((40, 56), (40, 56), False),
        ((56, 40), (40, 56), False),
        ((20, 40), (40, 56), False),
        ((22, 28), (40, 56), False),
    ],
)
def test_a_mask_is_scaled_where_one_factor_explains_both_sides(
    mask: tuple[int, int], picture: tuple[int, int], scaled: bool
) -> None:
    assert is_scaled(mask, picture) is scaled


def test_a_scaled_mask_gets_the_nearest_class() -> None:
    ids = np.array([[0, 1], [2, 3]], np.uint8)
    assert np.array_equal(fitted(ids, 4, 4), ids.repeat(2, 0).repeat(2, 1))
    assert fitted(ids, 4, 40) is ids


def test_scaled_masks_are_said_and_read_and_written_at_the_size_of_their_pictures(
    tmp_path: Path,
) -> None:
    folder = write_dataset(tmp_path / "set", {"train": 3, "val": 3})
    path = folder / "masks" / "train" / "0.png"
    with Image.open(path) as mask:
        small = mask.resize((mask.width // 2, mask.height // 2), Image.Resampling.NEAREST)
        size = mask.size
    small.save(path)
    examination = examine(scan_dataset(folder))
    assert examination.errors == []
    (said,) = [issue.text for issue in examination.warnings if issue.kind == "scaled mask"]
    assert "0.5 times the size, 28×20 pixels of 56×40" in said
    image, ids = read_dataset(folder).split("train")[0].read(3)
    assert ids.shape == image.shape[:2] == size[::-1]
    repair = suggest_repair(examination)
    assert repair is not None
    _, left_out = write_repaired(examination, repair, tmp_path / "clean")
    assert left_out == []
    with Image.open(tmp_path / "clean" / "masks" / "train" / "0.png") as written:
        assert written.size == size
