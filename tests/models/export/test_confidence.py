"""What `segtrain calibrate` and its kin write, on a small network of random weights."""

from pathlib import Path

import numpy as np
import pytest

from models.cli import main
from models.contract import (
    MODEL_CARD_PATH,
    read_contract,
    verify_files,
)
from models.export.operating_points import PrecisionError, Tally
from tests.models.export.small import export_small


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_small(tmp_path_factory.mktemp("store"))


def test_calibrate_writes_contract_and_card_anew_and_changes_no_class(
    tmp_path: Path, dataset_folder: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(dataset_folder)]
    assert main(["calibrate", str(exported), *data, "--report", "test"]) == 0
    assert "fp32: temperature " in capsys.readouterr().out
    contract = read_contract(exported)
    verify_files(exported, contract)
    assert contract.calibration is not None
    fitted = contract.calibration["fp32"]
    assert fitted.scores.keys() == fitted.uncalibrated_scores.keys() == {"val", "test"}
    before, after = fitted.uncalibrated_scores["val"], fitted.scores["val"]
    assert after["log_loss"] <= before["log_loss"] + 1e-6
    assert contract.reference is not None
    assert contract.reference.split == "val+train"
    assert contract.reference.images == 11
    card = (exported / MODEL_CARD_PATH).read_text()
    assert card.count("## Confidence") == 1
    assert f"- fp32: {fitted.temperature:.3f}" in card
    page = tmp_path / "report.html"
    assert main(["evaluate", str(exported), *data, "--report", str(page)]) == 0
    assert "before the temperature" in capsys.readouterr().out
    assert "class-wise ECE" in page.read_text()


def test_the_lowest_confidence_that_is_precise_enough_is_taken() -> None:
    tally = Tally(2)
    sure = np.array([0.99, 0.9, 0.8, 0.7, 0.6, 0.55], np.float32)
    masks = np.array([0, 0, 1, 0, 1, 0], np.uint8)
    tally.add(masks[np.newaxis, np.newaxis], np.stack([sure, 1 - sure], -1)[np.newaxis, np.newaxis])
    point = tally.point(0, "red", 0.75)
    assert 0.6 < point.min_confidence <= 0.7
    assert (point.precision, point.recall) == (0.75, 0.75)
    with pytest.raises(PrecisionError, match="gives it no pixel"):
        tally.point(1, "blue", 0.5)


def test_evaluate_keeps_operating_points_by_class(
    exported: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(exported), "--data", str(dataset_folder), "--precision"]
    assert main([*command, "cat=0.9"]) == 1
    assert "--precision names 'cat'; the classes of small are" in capsys.readouterr().err
    assert main([*command, "background=0.01"]) == 0
    assert "background" in capsys.readouterr().out
    contract = read_contract(exported)
    verify_files(exported, contract)
    assert contract.operating_points is not None
    assert contract.operating_points["fp32"]["background"].wished_precision == 0.01
    assert main([*command, "background=0.01", "--split", "test"]) == 1
    assert "on val alone" in capsys.readouterr().err
