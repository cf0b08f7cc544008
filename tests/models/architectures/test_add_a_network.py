"""docs/add-a-network.md, step by step: a file with a builder (halved.py), and a row of the
table."""

import json
from pathlib import Path
from typing import Any

import keras
import pytest

from models.architectures.receptive_field import (
    UnknownReceptiveFieldError,
    receptive_field_radius,
)
from models.architectures.table import NETWORKS
from models.cli import main
from models.contract import read_contract
from models.training.run import Run
from tests.models.architectures.halved import ROW, Halve


@pytest.fixture
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "halved", ROW)


@pytest.mark.usefixtures("_added")
def test_a_file_and_a_row_are_a_network_to_train_resume_score_and_export(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all that goes by the network's facts: a frozen encoder, a slower one, losses on its
    levels."""
    run, store = tmp_path / "run", tmp_path / "store"
    command = ["train", str(recipe_file), "--run", str(run), "--network.name", "halved"]
    command += ["--frozen_encoder_epochs", "1", "--optimizer.encoder_lr_multiplier", "0.5"]
    assert main([*command, "--deep_supervision", "true"]) == 0
    assert Run.open(run).state.epochs_done == 2
    assert main(["evaluate", str(run)]) == 0
    assert main(["export", str(run), "--store", str(store)]) == 0
    contract = read_contract(store / "rectangles" / "1")
    assert (contract.stride, contract.receptive_field_radius) == (2, 4)
    assert contract.architecture == "halved (width 4)"
    capsys.readouterr()
    assert main(["networks", "halved", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["stride"], facts["receptive_field_radius"], facts["paper"]) == (2, 4, "none")


def test_a_network_that_is_not_in_the_table_is_refused_with_those_there_are(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(recipe_file), "--run", str(tmp_path / "run")]
    assert main([*command, "--network.name", "halved"]) == 1
    assert "there is no network 'halved'; there are fcn32s, " in capsys.readouterr().err


class Silent(Halve):
    """A layer that does not say what it does to the receptive field."""

    propagate: Any = None


def test_a_layer_that_does_not_say_how_far_it_sees_is_named() -> None:
    image = keras.Input((None, None, 3))
    with pytest.raises(UnknownReceptiveFieldError, match="how far a Silent layer sees"):
        receptive_field_radius(keras.Model(image, Silent()(image)))
