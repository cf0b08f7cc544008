"""`segserve predict` as a person at a terminal uses it: real files, a real model."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.contract import atomic
from service.cli import main
from service.predict.ledger import LEDGER
from tests.service.flaky import SLOW, mood, save_flaky_model
from tests.service.serving import TIMEOUT_SECONDS, picture, png_bytes, wait_until
from tests.solvable import save_solvable_model, solve


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs in two folders, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    for n, name in enumerate(["a.png", "b.PNG", "trip/c.png"]):
        (folder / name).write_bytes(png_bytes(picture(10, 10 + n, seed=n)))
    (folder / "notes.txt").write_text("no picture")
    return folder


def answers_in(out: Path) -> list[str]:
    """All files below `out` but the ledgers."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != LEDGER)
    return sorted(path.relative_to(out).as_posix() for path in files)


def predict(store: Path, *arguments: object) -> int:
    return main(["predict", "--model-store", str(store), "-m", "solvable", *map(str, arguments)])


def test_predict_mirrors_a_folder(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "masks"
    assert predict(solvable_store, photos, "-o", out) == 0
    assert answers_in(out) == ["a.png", "b.png", "trip/c.png"]
    for n, name in enumerate(["a.png", "b.png", "trip/c.png"]):
        np.testing.assert_array_equal(
            np.array(Image.open(out / name)), solve(picture(10, 10 + n, seed=n))
        )
    assert capsys.readouterr().out == "3 written, 0 skipped because they were there, 0 failed\n"


def test_predict_skips_what_is_done_unless_told_otherwise(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "masks"
    assert predict(solvable_store, photos / "a.png", "-o", out) == 0
    before = (out / "a.png").stat().st_mtime_ns
    capsys.readouterr()
    assert predict(solvable_store, photos, "-o", out) == 0
    assert capsys.readouterr().out.startswith("2 written, 1 skipped")
    assert (out / "a.png").stat().st_mtime_ns == before
    assert predict(solvable_store, photos, "-o", out, "--overwrite") == 0
    assert capsys.readouterr().out.startswith("3 written, 0 skipped")
    assert (out / "a.png").stat().st_mtime_ns > before


def test_predict_does_the_rest_when_one_image_fails(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    assert predict(solvable_store, photos, "-o", tmp_path / "masks") == 1
    streams = capsys.readouterr()
    assert streams.out.startswith("3 written, 0 skipped because they were there, 1 failed")
    assert "torn.jpg: " in streams.err
    assert not (tmp_path / "masks" / "torn.png").exists()


def test_predict_leaves_no_half_written_file(
    solvable_store: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "masks"
    assert predict(solvable_store, photos / "a.png", "-o", out) == 0
    assert answers_in(out) == ["a.png"]


def test_predict_keeps_apart_what_shares_a_name(
    solvable_store: Path, photos: Path, tmp_path: Path
) -> None:
    Image.fromarray(picture(9, 9)).save(photos / "a.bmp")
    out = tmp_path / "masks"
    assert predict(solvable_store, photos, "-o", out) == 0
    assert answers_in(out) == ["a.bmp.png", "a.png.png", "b.png", "trip/c.png"]


def test_predict_does_not_take_its_own_answers_for_images(
    solvable_store: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for expected in ("3 written, 0 skipped", "0 written, 3 skipped"):
        assert predict(solvable_store, photos, "-o", photos / "masks") == 0
        assert capsys.readouterr().out.startswith(expected)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["-f", "rle"], "a.json"),
        (["-f", "polygons"], "a.geojson"),
        (["-f", "npz", "-p", "probabilities=true", "-p", "dtype=float32"], "a.npz"),
        (["-f", "overlay", "-p", "media_type=image/jpeg"], "a.jpg"),
        (["-f", "confidence"], "a.png"),
    ],
)
def test_predict_knows_every_format(
    solvable_store: Path, photos: Path, tmp_path: Path, arguments: list[str], name: str
) -> None:
    assert predict(solvable_store, photos / "a.png", "-o", tmp_path / "out", *arguments) == 0
    assert answers_in(tmp_path / "out") == [name]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.png"], "no file or folder nowhere.png"),
        ([".", "-f", "tiff"], "the formats are png"),
        ([".", "-p", "alpha=1"], "belongs to overlay"),
        ([".", "-p", "alpha"], "NAME=VALUE"),
        ([".", "-p", "classes=a", "-p", "classes=b"], "more than once"),
        ([".", "-m", "strete"], "There is no model 'strete'"),
        ([".", "-m", "two words"], "names no model"),
        ([".", "--model-store", "/nowhere"], "no folder /nowhere"),
    ],
)
def test_a_command_that_cannot_work_says_why_in_a_sentence(
    solvable_store: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(photos)
    store = [] if "--model-store" in arguments else ["--model-store", str(solvable_store)]
    assert main(["predict", "-o", str(tmp_path / "out"), *store, *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("segserve predict: ")
    assert error.count("\n") == 1


def test_an_empty_folder_is_told_of(
    solvable_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert predict(solvable_store, tmp_path / "empty", "-o", tmp_path / "out") == 2
    assert "there is no image in" in capsys.readouterr().err


# ---- sources, answers, and what is between them


def test_another_model_or_format_is_refused_before_anything_is_done(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    shutil.copytree(solvable_store, store)
    out = tmp_path / "masks"
    assert predict(store, photos, "-o", out) == 0
    before = {name: (out / name).read_bytes() for name in answers_in(out)}
    capsys.readouterr()
    for arguments, difference in (
        (["-f", "overlay"], "png by solvable/1, and overlay by solvable/1 is asked for"),
        (["-m", "gray"], "png by solvable/1, and png by gray/1 is asked for"),
        (["-p", "classes=red"], """png with {"classes":"red"} by solvable/1 is asked for"""),
    ):
        assert predict(store, photos, "-o", out, *arguments) == 2
        assert difference in capsys.readouterr().err
    save_solvable_model(store, version=2)
    assert predict(store, photos, "-o", out) == 2
    assert "png by solvable/2 is asked for" in capsys.readouterr().err
    assert {name: (out / name).read_bytes() for name in answers_in(out)} == before
    assert predict(store, photos, "-o", out, "-m", "solvable/1") == 0
    assert capsys.readouterr().out.startswith("0 written, 3 skipped")
    assert predict(store, photos, "-o", out, "-f", "overlay", "--overwrite") == 0
    assert capsys.readouterr().out.startswith("3 written, 0 skipped")
    assert predict(store, photos, "-o", out, "-f", "overlay") == 0
    assert capsys.readouterr().out.startswith("0 written, 3 skipped")


def test_pictures_are_as_they_were_whatever_is_asked_for(
    solvable_store: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    for arguments in (
        [photos / "a.png", "-o", photos, "--overwrite"],
        [photos, "-o", photos, "--overwrite"],
        [photos, "-o", photos],
        [photos / "trip/c.png", photos, "-o", photos, "--overwrite"],
    ):
        assert predict(solvable_store, *arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert predict(solvable_store, photos / "a.png", "-f", "rle", "-o", photos, "--overwrite") == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("letter", ["x", "写"])
def test_names_as_long_as_a_disk_takes_are_no_matter(
    solvable_store: Path, tmp_path: Path, letter: str
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    stem = letter * (251 // len(letter.encode()))
    for suffix in ("jpg", "bmp"):
        Image.fromarray(picture(8, 8)).save(photos / f"{stem}.{suffix}")
    assert predict(solvable_store, photos, "-o", tmp_path / "out", "-f", "polygons") == 0
    assert len(answers_in(tmp_path / "out")) == 2


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
@pytest.mark.parametrize("folder", ["st [v2]", "模型 é 100%,a#b?*"])
def test_folders_may_be_called_anything(
    openvino_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    engine: str,
) -> None:
    monkeypatch.setenv("SEGSERVE_ENGINE", engine)
    here = tmp_path / folder
    shutil.copytree(openvino_store, here / "store [1]")
    (here / "photos [2]").mkdir()
    (here / "photos [2]" / "a [3].png").write_bytes(png_bytes(picture(10, 10)))
    assert predict(here / "store [1]", here / "photos [2]", "-o", here / "masks *") == 0
    np.testing.assert_array_equal(
        np.array(Image.open(here / "masks *" / "a [3].png")), solve(picture(10, 10))
    )


def test_a_full_disk_ends_the_job_and_the_same_command_resumes_it(
    solvable_store: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "masks"
    with monkeypatch.context() as patched:

        def full(path: Path) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        patched.setattr(atomic, "replacing", full)
        assert predict(solvable_store, photos, "-o", out) == 1
    streams = capsys.readouterr()
    assert "stopped" in streams.err
    assert "No space left on device" in streams.err
    assert "run the same command again to resume" in streams.err
    assert answers_in(out) == []
    assert predict(solvable_store, photos, "-o", out) == 0
    assert answers_in(out) == ["a.png", "b.png", "trip/c.png"]


def test_where_no_answer_can_be_written_no_model_is_loaded(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert predict(solvable_store, photos, "-o", tmp_path / "file" / "masks") == 2
    assert "cannot be written: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_stopped_is_resumed_by_the_same_command(
    tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    store, photos, out = tmp_path / "store", tmp_path / "photos", tmp_path / "masks"
    save_flaky_model(store)
    photos.mkdir()
    for n in range(100):  # of half a second each
        (photos / f"{n:03}.png").write_bytes(png_bytes(mood(SLOW)))
    arguments = ["predict", str(photos), "-o", str(out), "--model-store", str(store)]
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: out.is_dir() and len(answers_in(out)) > 0, "the first answer")
    process.send_signal(number)
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 128 + number
    assert f"stopped ({number.name}) with " in log
    assert "Traceback" not in log
    done = answers_in(out)
    assert 0 < len(done) < 100
    for path in sorted(photos.iterdir()):
        if path.name not in done:
            path.write_bytes(png_bytes(mood(0)))  # as fast as any
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"{100 - len(done)} written, {len(done)} skipped")
    assert not list(out.glob(".partial-*"))


def test_two_jobs_beside_each_other_do_not_lose_each_others_notes(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "masks"
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(predict, solvable_store, photos, "-o", out) for _ in range(2)]
        assert [job.result() for job in jobs] == [0, 0]
    capsys.readouterr()
    assert predict(solvable_store, photos, "-o", out) == 0
    assert capsys.readouterr().out.startswith("0 written, 3 skipped")


def test_a_stack_is_answered_by_one_page_and_that_is_said(
    solvable_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [picture(6, 7, seed=seed) for seed in range(3)]
    first, *others = map(Image.fromarray, images)
    stack = tmp_path / "stack.tif"
    first.save(stack, save_all=True, append_images=others)
    assert predict(solvable_store, stack, "-o", tmp_path / "first") == 0
    mask = np.array(Image.open(tmp_path / "first/stack.png"))
    np.testing.assert_array_equal(mask, solve(images[0]))
    note = "page 1 of 3 was segmented; `-p page=N` chooses one."
    assert capsys.readouterr().err.endswith(f"{stack}: {note}\n")
    assert predict(solvable_store, stack, "-o", tmp_path / "third", "-p", "page=3") == 0
    mask = np.array(Image.open(tmp_path / "third/stack.png"))
    np.testing.assert_array_equal(mask, solve(images[2]))
    assert "was segmented" not in capsys.readouterr().err
    assert predict(solvable_store, stack, "-o", tmp_path / "none", "-p", "page=4") == 1
    assert "has 3 pages; page 4 was asked for" in capsys.readouterr().err
