from pathlib import Path

import pytest

from models.data.files import files_below, find_file, spellings


def names_below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files_below(folder)]


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_links_are_followed_and_each_folder_entered_once(tmp_path: Path) -> None:
    for name in ("data/a/1", "data/2", "store/3", "store/deep/4"):
        touch(tmp_path / name)
    data = tmp_path / "data"
    (data / "0-again").symlink_to(data)
    (data / "a" / "up").symlink_to(data)
    (data / "linked").symlink_to(tmp_path / "store")
    (data / "twice").symlink_to(tmp_path / "store")
    (data / "nowhere").symlink_to(tmp_path / "gone")
    (data / "file").symlink_to(tmp_path / "store" / "3")
    assert names_below(data) == ["2", "a/1", "file", "linked/3", "linked/deep/4"]


def test_hidden_files_and_those_of_macos_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".DS_Store", ".cache/b.png", "__MACOSX/._a.png", "c/._d.png"):
        touch(tmp_path / name)
    assert names_below(tmp_path) == ["a.png"]


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + "\\b.png", "nul\0", "", ".", "b" * 250])
def test_a_name_that_no_file_has_is_not_found(name: str, tmp_path: Path) -> None:
    assert find_file(name, [tmp_path]) is None


def test_the_name_as_written_comes_before_other_spellings(tmp_path: Path) -> None:
    assert spellings("plain/name.png") == ["plain/name.png"]
    for name in ("a%20b.png", "a b.png", "c\\d.png", "c/d.png"):
        touch(tmp_path / name)
    for name in ("a%20b.png", "c\\d.png"):
        assert find_file(name, [tmp_path]) == tmp_path / name
