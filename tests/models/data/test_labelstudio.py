"""Label Studio's exports: those that a real server gave (exports/make_labelstudio.py), and faulty
ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.dataset import Dataset, DatasetError
from models.data.examination import examine
from models.data.layouts.labelstudio_brush import decode_brush
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset

EXPORTS = Path(__file__).parent / "exports" / "labelstudio"
WHOLE = SplitOptions(fraction=0)
WIDTH, HEIGHT = 64, 48
BACKGROUND, CAR, ROAD, TREE = range(4)

Document = list[dict[str, Any]]


def exported(folder: Path, kind: str, change: Callable[[Document], object] | None = None) -> Path:
    """The real export beside its images, as a person would put it there."""
    folder.mkdir()
    for image in EXPORTS.glob("*.png"):
        shutil.copy(image, folder)
    document = json.loads((EXPORTS / f"{kind}.export").read_text())
    if change is not None:
        change(document)
    (folder / "project-1.json").write_text(json.dumps(document))
    return folder


def masks_of(dataset: Dataset) -> dict[str, NDArray[np.uint8]]:
    return {sample.image.name: sample.mask.read() for sample in dataset.split("train")}


def blank(value: int = BACKGROUND) -> NDArray[np.uint8]:
    return np.full((HEIGHT, WIDTH), value, np.uint8)


def first_scene(rest: int = BACKGROUND) -> NDArray[np.uint8]:
    """The road painted with a brush, then the car's polygon and the tree's rectangle on it."""
    mask = blank(rest)
    mask[24:48] = ROAD
    mask[8:28, 10:30] = CAR
    mask[4:24, 40:50] = TREE
    return mask


@pytest.mark.parametrize("kind", ["json", "json_min"])
def test_a_real_export_is_read_with_its_brush_polygon_and_rectangle(
    tmp_path: Path, kind: str
) -> None:
    dataset = read_dataset(exported(tmp_path / "set", kind), WHOLE)
    assert dataset.layout == "labelstudio"
    assert [c.name for c in dataset.class_list.classes] == ["background", "car", "road", "tree"]
    masks = masks_of(dataset)
    assert set(masks) == {"scene 1.png", "scène_2.png", "scene3.png"}
    assert np.array_equal(masks["scene 1.png"], first_scene())
    brushed = blank()
    brushed[:10, :10] = CAR  # <Brush> drew it, <Labels> gave it the label
    assert np.array_equal(masks["scene3.png"], brushed)


def test_ground_truth_comes_before_what_is_newer(tmp_path: Path) -> None:
    expected = blank()
    expected[8:28, 10:30] = CAR
    masks = masks_of(read_dataset(exported(tmp_path / "set", "json"), WHOLE))
    assert np.array_equal(masks["scène_2.png"], expected)


def test_without_ground_truth_the_newest_annotation_counts(tmp_path: Path) -> None:
    expected = blank()
    expected[4:24, 40:50] = TREE
    masks = masks_of(read_dataset(exported(tmp_path / "set", "json_min"), WHOLE))
    assert np.array_equal(masks["scène_2.png"], expected)


def test_cancelled_and_unfinished_tasks_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = scan_dataset(exported(tmp_path / "set", "json"), WHOLE)
    texts = [issue.text for issue in dataset.issues]
    assert any("without a finished annotation, left out: 2" in text for text in texts)
    assert any("2 tasks with several annotations" in text for text in texts)
    assert not any("no file of Label Studio names" in text for text in texts)
    assert not examine(dataset).errors


def test_an_ellipse_has_the_pixels_whose_centers_it_holds(tmp_path: Path) -> None:
    def only_the_ellipse(document: Document) -> None:
        document[1]["annotations"] = [
            annotation
            for annotation in document[1]["annotations"]
            if annotation["result"][0]["type"] == "ellipselabels"
        ]

    masks = masks_of(read_dataset(exported(tmp_path / "set", "json", only_the_ellipse), WHOLE))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = ((x - 32) / 16) ** 2 + ((y - 24) / 12) ** 2 <= 1
    assert np.array_equal(masks["scène_2.png"] == TREE, inside)


def test_what_no_region_covers_can_be_ignored(tmp_path: Path) -> None:
    options = LayoutOptions(unlabelled="ignore")
    dataset = read_dataset(exported(tmp_path / "set", "json"), WHOLE, options)
    assert [c.name for c in dataset.class_list.classes] == ["car", "road", "tree"]
    expected = first_scene(rest=0)
    expected = np.where(expected == BACKGROUND, 255, expected - 1).astype(np.uint8)
    assert np.array_equal(masks_of(dataset)["scene 1.png"], expected)


def region_of(document: Document, number: int = 0) -> dict[str, Any]:
    region: dict[str, Any] = document[0]["annotations"][0]["result"][number]
    return region


def faults(folder: Path) -> str:
    return "\n".join(
        issue.text for issue in scan_dataset(folder, WHOLE).issues if issue.severity == "error"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: region_of(d)["value"].pop("brushlabels"), "no label"),
        (lambda d: region_of(d)["value"]["brushlabels"].append("car"), "the labels road, car"),
        (lambda d: region_of(d).update(image_rotation=90), "turned by 90°"),
        (lambda d: region_of(d).update(original_width=0), "0×48"),
        (lambda d: region_of(d, 1)["value"].update(closed=False), "not closed"),
        (lambda d: region_of(d, 1)["value"].update(points=[[1, 2]]), "three corners"),
        (lambda d: region_of(d, 1)["value"].update(points=[[1, 2], [3, 1e30], [4, 4]]), "number"),
        (lambda d: region_of(d)["value"].update(rle=[256]), "bytes must be in range"),
        (lambda d: region_of(d, 2).update(to_name="other"), "another image"),
        (lambda d: d[0]["data"].update(image="https://h/elsewhere.png"), "nothing is fetched"),
        (lambda d: d[0].update(annotations=[1]), "not a JSON object"),
    ],
)
def test_a_fault_is_told_with_task_and_region(
    tmp_path: Path, change: Callable[[Document], object], said: str
) -> None:
    text = faults(exported(tmp_path / "set", "json", change))
    assert said in text
    assert "project-1.json" in text


def test_run_lengths_that_do_not_fit_the_picture_are_refused(tmp_path: Path) -> None:
    for rle, said in (
        ([0, 0, 48, 4, 57, 27, 255, 23], "values"),
        ([0, 0, 48, 0, 57, 27, 255, 23, 255], "end before the picture does"),
        ([0, 0, 48, 0, 57, 27, 255, 255, 255, 255, 255, 255, 255, 255], "beyond the picture"),
        ([0, 0, 48, 0, 129, 27, 255, 255], "words of 17 bits"),
    ):
        with pytest.raises(ValueError, match=said):
            decode_brush(rle, (WIDTH, HEIGHT))

    def short(document: Document) -> None:
        region_of(document)["value"]["rle"] = [0, 0, 48, 0]

    dataset = scan_dataset(exported(tmp_path / "set", "json", short), WHOLE)
    (error,) = examine(dataset).errors
    assert "region r of scene 1.png cannot be drawn" in error.text


def test_deeply_nested_json_is_a_sentence(tmp_path: Path) -> None:
    folder = exported(tmp_path / "set", "json")
    (folder / "project-1.json").write_text('[{"data":{},"annotations":' + "[" * 100_000)
    with pytest.raises(DatasetError, match="is not JSON"):
        read_dataset(folder, WHOLE)
