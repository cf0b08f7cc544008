"""A job's plan: pictures are never written, answers never taken for pictures, and nothing stale is
passed over.
"""

import os
from pathlib import Path

import pytest

from models.contract import atomic
from service.predict.errors import PredictError
from service.predict.ledger import Ledger, Note, Picture, Recipe
from service.predict.plan import Ledgers, Plan, plan

PNG = Recipe("street/1", "0123456789abcdef", "png", "{}")


def write(*paths: Path, body: bytes = b"photograph") -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body + path.name.encode())


def made(
    *sources: str | Path,
    out: str | Path,
    recipe: Recipe = PNG,
    extension: str = ".png",
    overwrite: bool = False,
) -> Plan:
    return plan(
        [Path(source) for source in sources],
        Path(out),
        extension,
        recipe,
        Ledgers(),
        overwrite=overwrite,
    )


def do(planned: Plan, recipe: Recipe = PNG) -> list[str]:
    """Write answers as the job does, and give their names."""
    for step in planned.steps:
        folder = step.target.parent
        folder.mkdir(parents=True, exist_ok=True)
        picture, body = Picture.read(step.source, folder)
        answer = b"mask of " + body
        Ledger(folder).add(Note.of(step.target.name, [answer], picture, recipe))
        atomic.write_bytes(step.target, answer)
    return [step.target.name for step in planned.steps]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with photos/a.jpg, photos/b.png, photos/trip/c.png."""
    monkeypatch.chdir(tmp_path)
    write(*(tmp_path / "photos" / name for name in ("a.jpg", "b.png", "trip/c.png")))
    return tmp_path


# ---- a picture is never written


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("sources", "out"),
    [
        (["photos/b.png"], "photos"),
        (["photos/b.png"], "./photos/../photos"),
        (["photos/trip/c.png", "photos/b.png"], "photos"),
        (["photos/trip"], "photos/trip"),
        (["photos/trip", "other"], "other"),
        (["photos/b.png"], "link"),
        (["photos/b.png"], "hard"),
        (["symbolic"], "photos"),
    ],
)
def test_an_answer_that_would_take_a_pictures_place_is_refused(
    here: Path, sources: list[str], out: str, overwrite: bool
) -> None:
    write(here / "other/c.png")
    (here / "link").symlink_to(here / "photos")
    (here / "hard").mkdir()
    (here / "hard/b.png").hardlink_to(here / "photos/b.png")
    (here / "symbolic").mkdir()
    (here / "symbolic/b.png").symlink_to(here / "photos/b.png")
    with pytest.raises(PredictError, match="give another folder with -o"):
        made(*sources, out=out, overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_picture_that_is_no_source_of_this_job_is_not_written_either(
    here: Path, overwrite: bool, absolute: bool
) -> None:
    """photo.jpg into its folder, where photo.png is another one; a folder into the one above."""
    write(here / "photos/b.jpg", here / "c.png")
    top = here if absolute else Path()
    for source, out in ((top / "photos/b.jpg", "photos"), (top / "photos/trip", top)):
        with pytest.raises(PredictError, match="was not written by `segserve predict` and stays"):
            made(source, out=out, overwrite=overwrite)


def test_what_lies_there_for_other_formats_is_not_written_either(here: Path) -> None:
    write(here / "photos/a.json")  # LabelMe's
    with pytest.raises(PredictError, match=r"photos/a\.json was not written"):
        made("photos/a.jpg", out="photos", extension=".json", overwrite=True)


def test_a_folder_into_itself_is_told_why(here: Path) -> None:
    for out in ("photos", here / "photos", "photos/trip/.."):
        with pytest.raises(PredictError, match=r"cannot hold both .*such as photos/masks"):
            made("photos", out=out)


def test_a_link_that_leads_nowhere_is_not_written_through(here: Path) -> None:
    (here / "masks").mkdir()
    (here / "masks/a.png").symlink_to(here / "elsewhere.png")
    with pytest.raises(PredictError, match=r"masks/a\.png was not written"):
        made("photos/a.jpg", out="masks", overwrite=True)


# ---- an answer is never taken for a picture


@pytest.mark.parametrize("source", ["photos", "./photos", "ABSOLUTE", "LINK", "."])
@pytest.mark.parametrize("out", ["photos/masks", "ABSOLUTE/masks", "LINK/masks"])
def test_answers_inside_the_source_are_no_pictures(here: Path, source: str, out: str) -> None:
    (here / "link").symlink_to(here / "photos")
    if source == ".":
        (here / "link").unlink()
        out = out.replace("LINK", "photos")

    def at(path: str) -> str:
        return path.replace("ABSOLUTE", str(here / "photos")).replace("LINK", "link")

    assert len(do(made(at(source), out=at(out)))) == 3
    again = made(at(source), out=at(out))
    assert (again.steps, again.skipped, again.faults) == ((), 3, ())
    write(here / "photos/new.jpg")
    assert do(made(at(source), out=at(out))) == ["new.png"]


@pytest.mark.usefixtures("here")
def test_answers_of_another_job_are_no_pictures() -> None:
    do(made("photos", out="photos/masks"))
    assert len(do(made("photos", out="photos/overlays"))) == 3
    assert len(do(made("photos", out="elsewhere"))) == 3
    do(made("photos/a.jpg", out="photos"))  # beside its picture
    assert made("photos", out="elsewhere").skipped == 3
    assert made("photos/a.jpg", "photos/a.png", out="elsewhere").skipped == 1


@pytest.mark.usefixtures("here")
def test_a_folder_of_answers_alone_is_told_of() -> None:
    do(made("photos", out="masks"))
    with pytest.raises(PredictError, match="no image in masks but answers of `segserve predict`"):
        made("masks", out="again")


@pytest.mark.usefixtures("here")
def test_what_may_be_a_picture_or_an_answer_is_refused() -> None:
    """Answers of a version without ledgers, or pictures: nothing tells."""
    with pytest.raises(PredictError, match=r"photos/trip/c\.png lies where the answers go"):
        made("photos", out="photos/trip")


def test_answers_go_above_their_pictures_where_nothing_is_in_the_way(here: Path) -> None:
    assert do(made("photos/trip", out=".")) == ["c.png"]
    assert made("photos/trip", out=here).skipped == 1


# ---- what is skipped is what would be made


@pytest.mark.parametrize(
    "other",
    [
        Recipe("nuclei/1", PNG.model_digest, "png", "{}"),
        Recipe("street/2", PNG.model_digest, "png", "{}"),
        Recipe("street/1", "fedcba9876543210", "png", "{}"),
        Recipe("street/1", PNG.model_digest, "overlay", "{}"),
        Recipe("street/1", PNG.model_digest, "png", '{"classes":"car"}'),
    ],
    ids=["model", "version", "files", "format", "options"],
)
@pytest.mark.usefixtures("here")
def test_answers_made_otherwise_are_neither_skipped_nor_replaced_unasked(
    other: Recipe,
) -> None:
    do(made("photos", out="masks"))
    with pytest.raises(PredictError, match=r"masks/a\.png is .*--overwrite.* for 2 more"):
        made("photos", out="masks", recipe=other)
    assert len(do(made("photos", out="masks", recipe=other, overwrite=True), other)) == 3
    assert made("photos", out="masks", recipe=other).skipped == 3


def test_a_picture_that_changed_is_segmented_again(here: Path) -> None:
    do(made("photos", out="masks"))
    write(here / "photos/a.jpg", body=b"another photograph ")
    os.utime(here / "photos/b.png")  # touched, and the same
    assert do(made("photos", out="masks")) == ["a.png"]


def test_another_picture_of_the_same_name_is_not_taken_for_done(here: Path) -> None:
    """IMG_0001.jpg of monday and of tuesday."""
    write(here / "tuesday/a.jpg", body=b"of tuesday ")
    do(made("photos/a.jpg", out="masks"))
    with pytest.raises(PredictError, match=r"another picture than tuesday/a\.jpg"):
        made("tuesday/a.jpg", out="masks")
    (here / "photos").rename(here / "moved")
    assert made("moved/a.jpg", out="masks").skipped == 1


def test_an_answer_that_was_corrected_by_hand_stays(here: Path) -> None:
    do(made("photos", out="masks"))
    write(here / "masks/a.png", body=b"corrected ")
    write(here / "photos/new.jpg")
    planned = made("photos", out="masks")
    assert do(planned) == ["new.png"]
    assert planned.skipped == 2
    ((path, sentence),) = planned.faults
    assert path == Path("photos/a.jpg")
    assert "masks/a.png was changed" in sentence
    assert [step.target.name for step in made("photos", out="masks", overwrite=True).steps] == [
        "b.png",
        "new.png",
        "c.png",
    ]


# ---- sources


@pytest.mark.usefixtures("here")
def test_one_picture_named_twice_is_done_once() -> None:
    assert do(made("photos/a.jpg", "photos/a.jpg", out="masks")) == ["a.png"]
    assert len(made("photos", "photos/", out="other").steps) == 3


def test_what_is_not_there_and_what_has_no_image_is_told(here: Path) -> None:
    (here / "empty").mkdir()
    with pytest.raises(PredictError, match="no file or folder nowhere"):
        made("nowhere", out="masks")
    with pytest.raises(PredictError, match="no image in empty"):
        made("empty", out="masks")
