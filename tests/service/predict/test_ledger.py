"""The notes beside the answers: what they know after crashes, edits, and other processes."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.predict.ledger import LEDGER, Ledger, Note, Picture, Recipe

RECIPE = Recipe("street/1", "0123456789abcdef", "png", "{}")


def note(name: str, body: bytes, recipe: Recipe = RECIPE) -> Note:
    return Note.of(name, [body[:2], body[2:]], Picture("../a.jpg", 1, 2, "d"), recipe)


def answer(folder: Path, name: str, body: bytes, recipe: Recipe = RECIPE) -> Note:
    """As the job writes one: the note first."""
    made = note(name, body, recipe)
    Ledger(folder).add(made)
    (folder / name).write_bytes(body)
    return made


def test_a_note_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    made = answer(tmp_path, "a\udcff\n.png", b"mask")
    assert Ledger(tmp_path).note_on("a\udcff\n.png") == made


def test_a_folder_without_a_ledger_has_no_answers(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"photograph")
    ledger = Ledger(tmp_path)
    assert not ledger.knows("a.png")
    assert ledger.note_on("a.png") is None
    assert not ledger.is_unchanged("a.png")


def test_an_answer_that_was_changed_is_told_from_one_that_was_not(tmp_path: Path) -> None:
    answer(tmp_path, "a.png", b"mask")
    (tmp_path / "a.png").write_bytes(b"corrected mask")
    assert Ledger(tmp_path).note_on("a.png") is None
    (tmp_path / "a.png").write_bytes(b"MASK")  # of the same size
    assert not Ledger(tmp_path).is_unchanged("a.png")


def test_after_a_crash_between_note_and_answer_the_old_answer_is_still_known(
    tmp_path: Path,
) -> None:
    old = answer(tmp_path, "a.png", b"mask")
    newer = Recipe("street/2", "0" * 16, "png", "{}")
    Ledger(tmp_path).add(note("a.png", b"MASK", newer))
    assert Ledger(tmp_path).note_on("a.png") == old
    assert Ledger(tmp_path).is_unchanged("a.png")
    Ledger(tmp_path).add(note("b.png", b"never written"))
    assert Ledger(tmp_path).knows("b.png")
    with pytest.raises(FileNotFoundError):
        Ledger(tmp_path).note_on("b.png")


@pytest.mark.parametrize("torn", [b'{"answer": "b.png", "si', b"\xff\xfe", b"[]", b"{}", b"null"])
def test_a_line_that_was_cut_short_costs_no_other(tmp_path: Path, torn: bytes) -> None:
    answer(tmp_path, "a.png", b"one")
    with (tmp_path / LEDGER).open("ab") as file:
        file.write(torn)
    answer(tmp_path, "c.png", b"three")
    ledger = Ledger(tmp_path)
    assert ledger.knows("a.png")
    assert ledger.knows("c.png")
    assert not ledger.knows("b.png")


def test_the_ledger_does_not_grow_with_the_number_of_runs(tmp_path: Path) -> None:
    for run in range(20):
        Ledger(tmp_path).tidy()
        for name in ("a.png", "b.png"):
            answer(tmp_path, name, f"mask {run}".encode())
    lines = (tmp_path / LEDGER).read_text().splitlines()
    assert len(lines) <= 6
    (tmp_path / "b.png").unlink()
    Ledger(tmp_path).tidy()
    assert [
        json.loads(line)["answer"] for line in (tmp_path / LEDGER).read_text().splitlines()
    ] == ["a.png"]
    assert Ledger(tmp_path).is_unchanged("a.png")


def test_what_several_write_at_once_is_all_there(tmp_path: Path) -> None:
    def write(number: int) -> None:
        answer(tmp_path, f"{number}.png", b"mask")
        Ledger(tmp_path).tidy()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(100)))
    ledger = Ledger(tmp_path)
    assert all(ledger.is_unchanged(f"{number}.png") for number in range(100))


def test_a_picture_is_known_by_where_it_is_or_by_its_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    source = tmp_path / "a.jpg"
    source.write_bytes(b"photograph")
    picture, body = Picture.read(source, folder)
    assert (picture.path, body) == ("../a.jpg", b"photograph")
    assert picture.is_still(source, folder)
    source.touch()
    assert picture.is_still(source, folder)
    moved = source.rename(tmp_path / "b.jpg")
    assert picture.is_still(moved, folder)
    assert not picture.is_at(moved, folder)
    moved.write_bytes(b"PHOTOGRAPH")
    assert not picture.is_still(moved, folder)
