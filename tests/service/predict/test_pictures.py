"""Which files are pictures, on trees as people have them, and what their answers are called."""

import os
import unicodedata
from pathlib import Path

import pytest

from service.predict.errors import PredictError
from service.predict.pictures import is_image, target_names, walk


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def found(top: Path) -> list[str]:
    return [
        (folder.path / name).relative_to(top).as_posix()
        for folder in walk(top, lambda _folder: False)
        for name in folder.files
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", True),
        ("a.b.TIFF", True),
        ("notes.txt", False),
        ("jpg", False),
        ("._a.jpg", False),  # macOS
        (".partial-0123456789abcdef.png", False),  # of an answer that was killed
    ],
)
def test_images_are_known_by_their_names(name: str, expected: bool) -> None:
    assert is_image(name) is expected


def test_a_linked_folder_is_gone_into_after_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "photos/a.jpg", tmp_path / "photos/z/b.jpg", tmp_path / "disk2/c.jpg")
    (tmp_path / "photos/more").symlink_to(tmp_path / "disk2")
    assert found(tmp_path / "photos") == ["a.jpg", "z/b.jpg", "more/c.jpg"]


def test_what_links_lead_to_twice_is_found_once(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write(photos / "real/a.jpg", tmp_path / "disk2/b.jpg")
    (photos / "again").symlink_to(photos)
    (photos / "also").symlink_to(photos / "real")
    (photos / "disk").symlink_to(tmp_path / "disk2")
    (tmp_path / "disk2/back").symlink_to(photos)
    (tmp_path / "disk2/self").symlink_to(tmp_path / "disk2")
    (photos / "real/disk").symlink_to(tmp_path / "disk2")
    assert found(photos) == ["real/a.jpg", "disk/b.jpg"]


def test_a_linked_file_is_found_and_so_is_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/a.jpg")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").symlink_to(tmp_path / "elsewhere/a.jpg")
    (photos / "gone.jpg").symlink_to(tmp_path / "gone.jpg")
    assert found(photos) == ["a.jpg", "gone.jpg"]


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    assert found(tmp_path) == []


def test_a_folder_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "photos/sub").mkdir(parents=True)
    way = walk(tmp_path / "photos", lambda _folder: False)
    assert next(way).fault is None
    (tmp_path / "photos/sub").rmdir()
    assert [(folder.path.name, folder.fault) for folder in way] == [
        ("sub", "No such file or directory")
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b/a.jpg"], ["a.png", "b/a.png"]),
        (["a.jpg", "a.tif", "b.jpg"], ["a.jpg.png", "a.tif.png", "b.png"]),
        (["two.dots.v1.jpg", "noext"], ["two.dots.v1.png", "noext.png"]),
    ],
)
def test_answers_are_called_as_their_pictures(names: list[str], expected: list[str]) -> None:
    assert target_names(names, ".png") == expected


def test_two_pictures_never_share_an_answer() -> None:
    with pytest.raises(PredictError, match=r"several images would be written to a\.jpg\.png"):
        target_names(["a.jpg", "a.png", "a.jpg.tif"], ".png")


@pytest.mark.parametrize(
    "names",
    [["A.jpg", "a.tif"], ["A.jpg", "a.jpg"], ["s/B.JPG", "s/b.jpg"], ["\u00e9.jpg", "e\u0301.jpg"]],
)
def test_answers_are_apart_on_a_disk_that_knows_no_capitals(names: list[str]) -> None:
    targets = target_names([*names, "c.jpg"], ".png")
    seen = {unicodedata.normalize("NFC", target).casefold() for target in targets}
    assert len(seen) == 3
    assert targets[2] == "c.png"
    assert all(target.endswith(".png") for target in targets)


@pytest.mark.parametrize("letter", ["x", "é", "写", "\udcff"])
def test_a_name_too_long_with_its_new_ending_is_cut_and_stays_apart(letter: str) -> None:
    stem = letter * (251 // len(os.fsencode(letter)))
    names = [f"{stem}.jpg", f"{stem}.tif", f"{stem[:-1]}y.jpg"]
    targets = target_names([f"deep/{name}" for name in names], ".geojson")
    assert len(set(targets)) == 3
    for target in targets:
        folder, _, name = target.partition("/")
        assert folder == "deep"
        assert len(os.fsencode(name)) <= 255
        assert name.endswith(".geojson")
    assert target_names([f"{stem}.jpg"], ".png") == [f"{stem}.png"]
