from pathlib import Path

import pytest

from models.contract.globbing import without_pattern


def test_an_ordinary_path_is_left_as_it_is(tmp_path: Path) -> None:
    for name in ("plain", "模型 é 100%,a#b (2)"):
        with without_pattern(tmp_path / name) as path:
            assert path == tmp_path / name


@pytest.mark.parametrize("name", ["st [v2]", "what?", "all*"])
def test_a_path_like_a_pattern_is_reached_by_a_link_that_is_gone_afterwards(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "file").write_text("here")
    monkeypatch.chdir(tmp_path)
    with without_pattern(Path(name)) as path:
        assert (path / "file").read_text() == "here"
        assert not {*"[]*?"} & {*str(path.parent.name + path.name)}
    assert not path.is_symlink()
    assert (tmp_path / name / "file").is_file()
