"""A folder's answers as one thing that a tool imports: whole or not at all, and resumed as every
job is.
"""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from models.contract import atomic
from service.cli import main
from service.outputs.project import PARTS
from service.predict import job
from service.predict.ledger import LEDGER
from tests.service.serving import picture, png_bytes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    for n, name in enumerate(["a.png", "trip/c d.png"]):
        (folder / name).write_bytes(png_bytes(picture(10, 10 + n, seed=n)))
    return folder


def predict(store: Path, *arguments: object) -> int:
    return main(["predict", "--model-store", str(store), "-m", "solvable", *map(str, arguments)])


def files_in(out: Path) -> list[str]:
    files = (path for path in out.rglob("*") if path.is_file() and path.name != LEDGER)
    return sorted(path.relative_to(out).as_posix() for path in files)


@pytest.mark.parametrize(
    ("tool", "files"),
    [
        (
            "labelstudio",
            [f"{PARTS}/a.json", f"{PARTS}/trip/c d.json", "labelstudio.json", "labelstudio.xml"],
        ),
        ("cvat", [f"{PARTS}/a.xml", f"{PARTS}/trip/c d.xml", "annotations.xml"]),
        ("qupath", ["a.geojson", "trip/c d.geojson"]),
        (
            "supervisely",
            [
                "images/ann/a.png.json",
                "images/img/a.png",
                "meta.json",
                "trip/ann/c d.png.json",
                "trip/img/c d.png",
            ],
        ),
        (
            "ultralytics",
            [
                "data.yaml",
                "images/a.png",
                "images/trip/c d.png",
                "masks/a.png",
                "masks/trip/c d.png",
            ],
        ),
    ],
)
def test_a_project_has_the_files_of_its_tool_and_nothing_is_done_twice(
    solvable_store: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tool: str,
    files: list[str],
) -> None:
    out = tmp_path / "out"
    assert predict(solvable_store, photos, "-o", out, "-f", tool) == 0
    assert files_in(out) == files
    times = {path: (out / path).stat().st_mtime_ns for path in files}
    told = capsys.readouterr().out
    assert told.count("wrote ") == len({"labelstudio": 2, "qupath": 0}.get(tool, 1) * "x")
    assert predict(solvable_store, photos, "-o", out, "-f", tool) == 0
    assert capsys.readouterr().out == "0 written, 2 skipped because they were there, 0 failed\n"
    assert {path: (out / path).stat().st_mtime_ns for path in files} == times


def test_a_further_picture_makes_the_file_of_all_anew(
    solvable_store: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = (photos, "-o", out, "-f", "labelstudio", "-p", "image_root=https://a.example/")
    assert predict(solvable_store, *arguments) == 0
    (photos / "b.png").write_bytes(png_bytes(picture(8, 8)))
    assert predict(solvable_store, *arguments) == 0
    tasks = json.loads((out / "labelstudio.json").read_bytes())
    names = [task["data"]["image"] for task in tasks]
    assert names == [f"https://a.example/{name}" for name in ("a.png", "b.png", "trip/c%20d.png")]
    labels = ElementTree.parse(out / "labelstudio.xml").iter("Label")
    assert [label.get("value") for label in labels] == ["red", "green", "blue"]


def test_a_file_of_all_that_is_gone_is_written_without_the_model(
    solvable_store: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert predict(solvable_store, photos, "-o", out, "-f", "cvat") == 0
    written = (out / "annotations.xml").read_bytes()
    (out / "annotations.xml").unlink()
    monkeypatch.setattr(job, "LoadedModel", None)
    assert predict(solvable_store, photos, "-o", out, "-f", "cvat") == 0
    assert (out / "annotations.xml").read_bytes() == written


def test_a_job_that_was_stopped_leaves_no_file_of_all(
    solvable_store: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert predict(solvable_store, photos / "a.png", "-o", out, "-f", "cvat") == 0
    assert (out / "annotations.xml").exists()
    with monkeypatch.context() as patched:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(atomic, "replacing", full)
        assert predict(solvable_store, photos, "-o", out, "-f", "cvat") == 1
    assert not (out / "annotations.xml").exists()
    assert predict(solvable_store, photos, "-o", out, "-f", "cvat") == 0
    images = ElementTree.parse(out / "annotations.xml").findall("image")
    assert [image.attrib["name"] for image in images] == ["a.png", "trip/c d.png"]
    assert [image.attrib["id"] for image in images] == ["0", "1"]


def test_a_picture_that_fails_is_not_in_the_file_of_all(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(solvable_store, photos, "-o", out, "-f", "cvat") == 0
    (photos / "a.png").write_bytes(b"torn")
    assert predict(solvable_store, photos, "-o", out, "-f", "cvat") == 1
    assert "a.png" in capsys.readouterr().err
    (image,) = ElementTree.parse(out / "annotations.xml").findall("image")
    assert image.attrib["name"] == "trip/c d.png"


def test_files_of_others_and_of_other_options_stay(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "annotations.xml").write_text("mine")
    assert predict(solvable_store, photos, "-o", out, "-f", "cvat") == 2
    assert "was changed or not written by `segserve predict` and stays" in capsys.readouterr().err
    assert files_in(out) == ["annotations.xml"]
    (out / "annotations.xml").unlink()
    assert predict(solvable_store, photos, "-o", out, "-f", "cvat") == 0
    polygons = ("-f", "cvat", "-p", "shapes=polygon")
    assert predict(solvable_store, photos, "-o", out, *polygons) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert predict(solvable_store, photos, "-o", out, *polygons, "--overwrite") == 0
    assert b"<polygon" in (out / "annotations.xml").read_bytes()


def test_a_copy_that_is_gone_is_made_again(
    solvable_store: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert predict(solvable_store, photos, "-o", out, "-f", "ultralytics") == 0
    (out / "images" / "a.png").unlink()
    assert predict(solvable_store, photos, "-o", out, "-f", "ultralytics") == 0
    assert (out / "images" / "a.png").read_bytes() == (photos / "a.png").read_bytes()


def test_pictures_that_the_tool_could_not_tell_apart_are_refused(
    solvable_store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (5, 5)).save(photos / "a.bmp")
    out = tmp_path / "out"
    assert predict(solvable_store, photos, "-o", out, "-f", "ultralytics") == 2
    assert "a.bmp and a.png would both be masks/a.png" in capsys.readouterr().err
    assert not out.exists()
    assert predict(solvable_store, photos, "-o", out, "-f", "supervisely") == 0


def test_splits_that_are_folders_are_those_of_ultralytics(
    solvable_store: Path, tmp_path: Path
) -> None:
    for name in ("train", "val"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "x.png").write_bytes(png_bytes(picture(8, 8)))
    out = tmp_path / "out"
    assert predict(solvable_store, tmp_path / "photos", "-o", out, "-f", "ultralytics") == 0
    config = (out / "data.yaml").read_text()
    assert config.startswith("train: images/train\nval: images/val\nmasks_dir: masks\nnames:\n")
