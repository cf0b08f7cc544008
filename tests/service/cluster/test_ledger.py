"""What a job on a cluster does again, passes over and refuses, by folders on this disk and without
Ray.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

pq = pytest.importorskip("pyarrow.parquet", reason="it comes with Ray; requirements/dev.txt has it")

from models.contract import SegmentationClass
from service.cluster.errors import ClusterError
from service.cluster.files import Folder
from service.cluster.ledger import Ledger
from service.predict.ledger import LEDGER, Note, Picture, Recipe
from service.predict.ledger import Ledger as LedgerOfPredict

PNG = Recipe("street/1", "0123456789abcdef", "png", "{}")
CLASSES = (
    SegmentationClass(id=0, name="road", color="#000000"),
    SegmentationClass(id=1, name="car", color="#ff0000"),
)


def write(*paths: Path, body: bytes = b"photograph") -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body + os.fsencode(path.name))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with photos/a.jpg, photos/b.png, photos/trip/c.png."""
    monkeypatch.chdir(tmp_path)
    write(*(tmp_path / "photos" / name for name in ("a.jpg", "b.png", "trip/c.png")))
    return tmp_path


def job(
    source: str = "photos",
    target: str = "masks",
    recipe: Recipe = PNG,
    *,
    overwrite: bool = False,
    stop_after: int | None = None,
    failing: str = "",
) -> tuple[list[str], int]:
    """A run as the driver and its actors do it, with the answers' names and how many were skipped.

    With `stop_after` it is killed after so many answers and before a row is written.
    """
    folder, ledger = Folder.at(source), Ledger(Folder.at(target))
    run, pending = ledger.begin(folder, recipe, ".png", overwrite=overwrite)
    rows = []
    for part in pending.parts:
        for step in pq.read_table(f"{target}/{part}").to_pylist():
            row = {**step, "error": None}
            if step["source"] == failing:
                row["error"] = "not an image"
            else:
                ledger.target.write(step["target"], b"mask of ", folder.read(step["source"]))
                row |= {"width": 2, "height": 1, "class_pixels": [1, 1]}
            rows.append(row)
            if len(rows) == stop_after:
                return [row["target"] for row in rows], pending.skipped
    if rows:
        ledger.record(run, "abcdef", rows)
    failed = ledger.finish(run, CLASSES)
    assert failed == sum(row["error"] is not None for row in rows)
    return [row["target"] for row in rows], pending.skipped


def pixels(target: str = "masks") -> list[int]:
    found: list[int] = pq.read_table(f"{target}/_report/statistics.parquet")["pixels"].to_pylist()
    return found


@pytest.mark.usefixtures("here")
def test_what_is_done_is_passed_over_and_counted_once() -> None:
    assert job() == (["a.png", "b.png", "trip/c.png"], 0)
    assert job() == ([], 3)
    assert pixels() == [3, 3]


def test_a_picture_that_changed_is_done_again_and_counted_once(here: Path) -> None:
    job()
    write(here / "photos/a.jpg", body=b"another ")
    assert job() == (["a.png"], 2)
    assert (here / "masks/a.png").read_bytes() == b"mask of another a.jpg"
    assert job() == ([], 3)
    assert pixels() == [3, 3]


@pytest.mark.usefixtures("here")
def test_a_run_that_was_killed_knows_its_answers_without_rows() -> None:
    assert job(stop_after=2)[0] == ["a.png", "b.png"]
    assert job(stop_after=1) == (["a.png"], 0)
    assert job() == (["a.png", "b.png", "trip/c.png"], 0)
    assert job() == ([], 3)


def test_answers_made_otherwise_are_neither_passed_over_nor_replaced_unasked(here: Path) -> None:
    job(failing="b.png")
    (here / "elsewhere").mkdir()
    write(here / "elsewhere/a.jpg")
    other = Recipe("street/1", PNG.model_digest, "overlay", "{}")
    with pytest.raises(ClusterError, match="png by street/1, and overlay by street/1 is asked"):
        job(recipe=other)
    with pytest.raises(ClusterError, match="those of street/1 when its files were others"):
        job(recipe=Recipe("street/1", "f" * 16, "png", "{}"))
    with pytest.raises(ClusterError, match="those to other images"):
        job("elsewhere")
    assert job(recipe=other, overwrite=True, stop_after=1)[0] == ["a.png"]
    assert job(recipe=other) == (["a.png", "b.png", "trip/c.png"], 0)
    assert job(recipe=other) == ([], 3)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_somebody_else_put_there_stays(here: Path, overwrite: bool) -> None:
    job()
    write(here / "photos/new.jpg", here / "masks/new.png")
    with pytest.raises(ClusterError, match=r"new\.png is there, was not written by"):
        job(overwrite=overwrite)
    write(here / "b.png")
    with pytest.raises(ClusterError, match=r"b\.png is there"):
        job("photos", ".", overwrite=overwrite)
    (here / "masks/new.png").unlink()
    assert job()[0] == ["new.png"]


def test_answers_of_a_segserve_without_such_a_ledger_are_not_mixed_with_new_ones(
    here: Path,
) -> None:
    job()
    (here / "masks/_report/job.json").unlink()
    with pytest.raises(ClusterError, match="older segserve"):
        job()
    assert job(overwrite=True)[0] == ["a.png", "b.png", "trip/c.png"]


def test_answers_are_never_images(here: Path) -> None:
    job("photos", "photos/masks")
    assert job("photos", "photos/masks") == ([], 3)
    assert job("photos", "photos/more") == (["a.png", "b.png", "trip/c.png"], 0)
    picture, _ = Picture.read(here / "photos/a.jpg", here / "photos")
    LedgerOfPredict(here / "photos").add(Note.of("a.png", [b"mask"], picture, PNG))
    (here / "photos/a.png").write_bytes(b"mask")
    assert (here / "photos" / LEDGER).exists()
    (here / "link").symlink_to(here / "photos")
    assert job("link", "link/masks")[1] == 3
    write(here / "photos/masks/stranger.png")
    with pytest.raises(ClusterError, match=r"stranger\.png lies where the answers go"):
        job("photos", "photos/masks")


def test_links_on_a_disk_are_followed_once(here: Path) -> None:
    write(here / "disk2/d.jpg")
    (here / "photos/again").symlink_to(here / "photos")
    (here / "photos/more").symlink_to(here / "disk2")
    assert job()[0] == ["a.png", "b.png", "trip/c.png", "more/d.png"]


@pytest.mark.usefixtures("here")
def test_two_folders_moved_together_go_on_where_they_were(tmp_path: Path) -> None:
    job()
    (tmp_path / "new").mkdir()
    for name in ("photos", "masks"):
        shutil.move(name, "new")
    assert job("new/photos", "new/masks") == ([], 3)


@pytest.mark.parametrize("name", ["a\udcff.jpg", "a\udcff/b.jpg"])
def test_a_name_that_is_no_text_is_told_of(here: Path, name: str) -> None:
    write(here / "photos" / name)
    with pytest.raises(ClusterError, match="not UTF-8"):
        job()


def test_an_answer_appears_whole(here: Path) -> None:
    folder = Folder.at(str(here / "masks"))
    name = "x" * 251 + ".png"
    folder.write(name, b"one", b" two")
    assert folder.read(name) == b"one two"
    assert folder.list().names == [name]
    assert np.array_equal(folder.list().names, [path.name for path in (here / "masks").iterdir()])
