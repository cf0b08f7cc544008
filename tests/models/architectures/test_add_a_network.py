"""docs/add-a-network.md, step by step: a file with a builder, and a row of the table."""

import json
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

from models.architectures.blocks import CropLike, MirrorPad, conv_block
from models.architectures.network import Network, assemble
from models.architectures.options import NetworkOptions
from models.architectures.receptive_field import (
    ReceptiveField,
    UnknownReceptiveFieldError,
    receptive_field_radius,
)
from models.architectures.table import NETWORKS, NetworkEntry
from models.cli import main
from models.contract import read_contract
from models.training.run import Run

# ---- what would be models/architectures/halved.py


class Halve(keras.layers.Layer):  # type: ignore[misc]
    """Every second pixel of (N, H, W, C): a layer of the network's own, which moves pixels."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return features[:, ::2, ::2]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, channels = shape
        return batch, height and -(-height // 2), width and -(-width // 2), channels

    def propagate(self, field: ReceptiveField) -> ReceptiveField:
        return field.sliding(1, 2, "valid")


def build_halved(classes: int, channels: int, options: NetworkOptions) -> Network:
    """Two convolutions, one at each of two resolutions, with no names that another network has."""
    image = keras.Input((None, None, channels), name="image")
    fine = conv_block(MirrorPad(2, name="mirror_pad")(image), options.width, "first")
    coarse = conv_block(Halve(name="halve")(fine), options.width, "second")
    up = keras.layers.Conv2DTranspose(options.width, 2, strides=2, name="back")(coarse)
    x = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(up)
    logits = CropLike(dtype="float32", name="crop")((x, image))
    return assemble(
        "halved", image, logits, stride=2, encoder=[fine, coarse], decoder={2: coarse, 1: up}
    )


# ---- what would be its row

ROW = NetworkEntry(
    paper="none",
    encoders=("plain",),
    upsamplings=("transposed",),
    build=build_halved,
    custom_layers=lambda: (Halve,),
)


@pytest.fixture
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "halved", ROW)


@pytest.mark.usefixtures("_added")
def test_a_file_and_a_row_are_a_network_to_train_resume_score_and_export(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all that goes by the network's facts: a frozen encoder, a slower one, losses on its levels."""
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
