"""The tables of networks against the results they are made of, and the commands of the page."""

import shlex
from pathlib import Path

import pytest

from benchmarks.networks_report import tables
from models.architectures.table import NETWORKS
from models.cli import main
from tests.docs.test_readme import shell_lines

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()


def test_the_pages_show_the_results_as_they_are_kept() -> None:
    for (path, mark), table in tables().items():
        assert f"<!-- {mark} -->\n{table}\n<!-- /{mark} -->" in path.read_text(), mark


def test_every_network_and_upsampling_is_explained() -> None:
    for name, entry in NETWORKS.items():
        for word in (name, *entry.upsamplings, *entry.encoders):
            assert f"`{word}`" in PAGE


@pytest.mark.parametrize("line", shell_lines(PAGE))
def test_each_command_of_the_page_works(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)[1:]) == 0
