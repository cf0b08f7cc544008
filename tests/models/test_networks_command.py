"""`segtrain networks`, and a finer FCN that starts from a coarser one's run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.architectures.networks import build_without_weights
from models.architectures.options import NetworkOptions
from models.architectures.outline import stages
from models.architectures.table import NETWORKS
from models.cli import main


def test_the_list_names_every_network_with_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks", "--json"]) == 0
    facts = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(facts) == list(NETWORKS)
    assert facts["fcn8s"]["parameters"] == 134_489_759
    assert facts["unet"]["stride"] == 16
    assert facts["segnet"]["upsamplings"][0] == "max_unpool"
    assert facts["unet_mobile"]["parameters"] <= 3_000_000


def test_the_table_shows_the_network_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["networks", "unet", "--classes", "2", "--channels", "1", "--padding", "valid"]
    assert main(command) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["network", "parameters", "stride"]
    assert row.split()[:3] == ["unet", "31,030,658", "16"]


def test_a_picture_shows_each_stage_of_the_network(tmp_path: Path) -> None:
    path = tmp_path / "segnet.png"
    assert main(["networks", "segnet", "--width", "4", "--picture", str(path)]) == 0
    picture = np.asarray(Image.open(path))
    colors = {tuple(pixel) for pixel in picture.reshape(-1, 3)[::7].tolist()}
    assert {(219, 234, 254), (220, 252, 231)} <= colors, "encoder and decoder boxes"
    assert list(tmp_path.iterdir()) == [path]


def test_the_outline_of_a_unet_is_a_u() -> None:
    network = build_without_weights(2, 3, NetworkOptions(width=4))
    found, links = stages(network.model)
    assert [stage.stride for stage in found] == [1, 2, 4, 8, 16, 8, 4, 2, 1]
    assert found[0].convolutions() == ["2 × 3×3, 4"]
    skips = [(link.start, link.end) for link in links if link.kind == "skip"]
    assert skips == [((8, 0), (8, 1)), ((4, 0), (4, 2)), ((2, 0), (2, 3)), ((1, 0), (1, 4))]


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_the_outline_tells_places_of_maxima_from_features(padding: str) -> None:
    choice = {"width": 2, "padding": padding, "upsampling": "max_unpool"}
    network = build_without_weights(2, 1, NetworkOptions.model_validate(choice))
    _, links = stages(network.model)
    kinds = [link.kind for link in links]
    assert [kinds.count(kind) for kind in ("down", "up", "skip", "indices")] == [4, 4, 4, 4]
    assert all(link.start[0] == link.end[0] for link in links if link.kind == "indices")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--picture", "x.png"], "say which"),
        (["fcn8s", "--upsampling", "max_unpool"], "fcn8s has no use for the upsampling"),
        (["unet", "--width", "wide"], "width: input should be a valid integer"),
    ],
)
def test_what_cannot_be_listed_or_drawn_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["networks", *arguments]) == 1
    assert sentence in capsys.readouterr().err


def test_a_finer_fcn_starts_from_the_run_of_a_coarser_one(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate near nothing: after its epoch FCN-16s still is what it started as."""
    from models.architectures.networks import build_network
    from models.training.checkpoint import load_network
    from models.training.run import BEST, LAST

    coarse, fine = tmp_path / "coarse", tmp_path / "fine"
    coarse.mkdir()
    coarser = build_network("fcn32s", classes=3, channels=3, width=1).model
    coarser.save(coarse / BEST)
    train = ["train", str(recipe_file), "--run", str(fine), "--epochs", "1"]
    train += ["--network.name", "fcn16s", "--network.encoder", "vgg16", "--network.width", "1"]
    assert main([*train, "--initialize-from", str(tmp_path)]) == 1
    assert "not a run with a validated epoch" in capsys.readouterr().err
    rate = ["--optimizer.learning_rate", "1e-9"]
    assert main([*train, *rate, "--initialize-from", str(coarse)]) == 0
    finer = load_network(fine / LAST)
    np.testing.assert_allclose(
        finer.get_layer("fc7").kernel, coarser.get_layer("fc7").kernel, atol=1e-6
    )
    assert np.abs(finer.get_layer("score_pool4").kernel).max() < 1e-6


def test_nothing_but_the_answer_is_printed() -> None:
    """TensorFlow would write its notes between."""
    command = [sys.executable, "-m", "models.cli", "networks", "unet", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)
    assert done.stderr == ""
