import os
from pathlib import Path

import pytest

from models.contract import atomic
from models.contract.atomic import (
    exchange,
    new_folder,
    replacing,
    replacing_folder,
    write_bytes,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path) -> None:
    path.write_text("half")
    raise InterruptedError


def test_a_file_takes_the_place_of_the_old_one_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "old")
    write_bytes(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert names(tmp_path) == ["a.json"]


def test_a_failure_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "old")
    with pytest.raises(InterruptedError), replacing(tmp_path / "a.json") as partial:
        write_half(partial)
    assert (tmp_path / "a.json").read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "a report")
    assert os.read(reader, 100) == b"a report"
    os.close(reader)
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("a")
    path.chmod(0o640)
    write_text(path, "b", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser gives files away")
def test_a_file_that_is_there_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("a")
    os.chown(path, 1234, 2345)
    write_text(path, "b")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_a_new_file_has_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    write_text(tmp_path / "keys", "a", mode=0o600)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


def test_a_link_goes_on_to_lead_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "a.txt"
    target.write_text("old")
    link = tmp_path / "a.txt"
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_the_longest_name_that_a_folder_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 251 + ".png")
    write_bytes(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_partial_file_keeps_the_suffix_that_writers_go_by(tmp_path: Path) -> None:
    with replacing(tmp_path / "best.keras") as partial:
        assert partial.suffix == ".keras"
        assert partial.name.startswith(".")
        partial.write_bytes(b"")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError), new_folder(tmp_path / "1") as partial:
        write_half(partial / "a")
    assert names(tmp_path) == []
    with new_folder(tmp_path / "1") as partial:
        (partial / "a").write_text("a")
        assert not (tmp_path / "1").exists()
    assert names(tmp_path) == ["1"]


def test_a_new_folder_does_not_take_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    with pytest.raises(FileExistsError), new_folder(tmp_path / "1") as partial:
        (partial / "a").write_text("a")
    assert names(tmp_path / "1") == []
    assert names(tmp_path) == ["1"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(atomic, "exchange", atomic.exchange_by_renames)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "old").write_text("old")
    with replacing_folder(tmp_path / "1") as partial:
        (partial / "new").write_text("new")
    assert names(tmp_path / "1") == ["new"]
    assert names(tmp_path) == ["1"]


def test_two_folders_change_places(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    exchange(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path / "a") == ["b"]
    assert names(tmp_path / "b") == ["a"]


def test_a_new_folder_that_fails_takes_the_parents_it_made_with_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()

    def fill() -> None:
        with new_folder(tmp_path / "kept" / "store" / "name" / "1") as folder:
            (folder / "file").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert list(tmp_path.rglob("*")) == [tmp_path / "kept"]
