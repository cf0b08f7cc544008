from pathlib import Path

import pytest

from models.contract import find_versions, versions


def make(model: Path, *names: str) -> Path:
    for name in names:
        (model / name).mkdir(parents=True)
    return model


def test_versions_are_integers_in_ascending_order(tmp_path: Path) -> None:
    model = make(tmp_path / "cells", "10", "9", "latest", ".11.partial", "assets")
    (model / "12").write_text("a file, not a version")
    assert versions(model) == [9, 10]
    found = find_versions(model)
    assert found.folders == {9: model / "9", 10: model / "10"}
    assert (found.next, found.faults) == (11, ())


def test_leading_zeros_count_for_nothing_and_the_path_is_the_true_one(tmp_path: Path) -> None:
    """As TensorFlow Serving reads them."""
    model = make(tmp_path / "cells", "0001", "007", "3")
    assert find_versions(model).folders == {
        1: model / "0001",
        3: model / "3",
        7: model / "007",
    }


def test_two_folders_of_one_number_are_refused_with_a_sentence(tmp_path: Path) -> None:
    model = make(tmp_path / "cells", "01", "1", "2")
    found = find_versions(model)
    assert found.folders == {2: model / "2"}
    assert found.faults == (
        "cells/01 and cells/1 are both version 1; remove or rename all but one",
    )


@pytest.mark.parametrize(
    "name", ["0", "000", "١", "１", "v1", "V2", "1.0", "9" * 19], ids=lambda name: ascii(name)
)
def test_what_only_looks_like_a_version_gets_a_sentence(name: str, tmp_path: Path) -> None:
    found = find_versions(make(tmp_path / "cells", name, "4"))
    assert list(found.folders) == [4]
    (fault,) = found.faults
    assert fault.startswith(f"cells/{name} is not a version: versions are whole numbers from 1 on")


def test_a_model_that_is_not_there_has_no_versions(tmp_path: Path) -> None:
    assert find_versions(tmp_path / "none").next == 1
