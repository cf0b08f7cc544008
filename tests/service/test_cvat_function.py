"""The function for CVAT, without cvat-sdk: its run lengths, its command. `tests/clients/cvat` runs
it against the SDK's own validation."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.layouts.geometry import zeros_and_ones
from service import cvat_function
from service.cli import main
from service.cvat_function import flat_ring, mask_points
from service.outputs.runs import find_runs


def points_of(class_map: NDArray[np.uint8], value: int) -> list[int]:
    runs = find_runs(class_map.reshape(-1))
    pairs = list(zip(runs.values.tolist(), runs.lengths.tolist(), strict=True))
    return mask_points(pairs, value, class_map.shape[1])


def test_the_points_are_those_of_the_sdk() -> None:
    # cvat_sdk.masks.encode_mask of this mask and its box
    assert points_of(np.array([[0, 1, 1], [0, 0, 1]], np.uint8), 1) == [0, 2, 1, 1, 1, 0, 2, 1]


@pytest.mark.parametrize("seed", range(8))
def test_points_read_back_are_the_mask(seed: int) -> None:
    draw = np.random.default_rng(seed)
    class_map = draw.integers(0, 3, draw.integers(1, 12, 2)).astype(np.uint8)
    for value in np.unique(class_map).tolist():
        *runs, left, top, right, bottom = points_of(class_map, value)
        box = zeros_and_ones(np.array(runs), bottom - top + 1, right - left + 1)
        read = np.zeros_like(class_map, np.bool_)
        read[top : bottom + 1, left : right + 1] = box
        assert np.array_equal(read, class_map == value)
        assert box[0].any()
        assert box[-1].any()
        assert box[:, 0].any()
        assert box[:, -1].any()


def test_a_seam_leads_to_a_hole() -> None:
    outline = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    hole = [[2, 2], [2, 4], [4, 4], [4, 2], [2, 2]]
    assert flat_ring({"coordinates": [outline, hole]}) == [
        *(0, 0, 2, 2, 2, 4, 4, 4, 4, 2, 2, 2, 0, 0),
        *(10, 0, 10, 10, 0, 10),
    ]


def test_the_command_writes_the_function(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(cvat_function.__file__).read_text()
    assert main(["cvat"]) == 0
    assert capsys.readouterr().out == source
    assert main(["cvat", "-o", str(tmp_path / "f.py")]) == 0
    assert (tmp_path / "f.py").read_text() == source
    assert "import service" not in source
    assert "from service" not in source
