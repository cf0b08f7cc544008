"""What `segtrain` says of itself, and where it writes where nothing is said."""

import re
from pathlib import Path

import pytest

from models.cli import COMMANDS, _parser, main
from models.commands.command import BUNDLED_STORE
from models.data.names import counted


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"segtrain \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments", [["export", "runs/mine"], ["adopt", "unet.keras", "--name", "x", "--classes", "a"]]
)
def test_nothing_is_written_into_the_bundled_store_unasked(arguments: list[str]) -> None:
    store = _parser().parse_args(arguments).store
    assert store == Path("my_models")
    assert store.resolve() != BUNDLED_STORE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: segtrain {command}")


def test_one_is_not_many() -> None:
    assert (counted(1, "epoch"), counted(2, "epoch")) == ("1 epoch", "2 epochs")
