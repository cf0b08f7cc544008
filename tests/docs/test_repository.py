"""The files that a repository is expected to have, against the project that they speak of."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PAGES = ("CONTRIBUTING.md", "SECURITY.md", "findings/README.md")


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == VERSION
    assert citation["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / link).exists(), f"{page} → {link}"


def test_the_commands_of_contributing_are_the_makefile_s() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"\bmake (\w+)", (ROOT / "CONTRIBUTING.md").read_text())
    assert {"lint", "test", "format", "lock"} == set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_leads_to_them() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in ("CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "docs/operate.md"):
        assert f"]({name})" in readme


def test_every_finding_is_listed_and_can_be_run() -> None:
    listed = (ROOT / "findings/README.md").read_text()
    for script in (ROOT / "findings").glob("*.sh"):
        assert f"`{script.name}`" in listed
        assert script.stat().st_mode & 0o111
        assert script.read_text().startswith("#!")
