"""Data sets as Hugging Face's datasets has them, and Mapillary's, by their documented forms."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import DatasetError
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset

WHOLE = SplitOptions(fraction=0)
Mask = NDArray[np.uint8]


def encoded(pixels: NDArray[np.uint8], form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)


def mask(seed: int) -> Mask:
    return np.random.default_rng(seed).integers(0, 3, (6, 9), np.uint8)


def write_parquet(
    path: Path, seeds: range, image: str = "image", label: str = "annotation", **more: list[Any]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(
        {
            image: [
                {"bytes": encoded(picture(n), "JPEG"), "path": f"../street {n}.jpg"} for n in seeds
            ],
            label: [{"bytes": encoded(mask(n)), "path": None} for n in seeds],
            **more,
        }
    )
    pyarrow.parquet.write_table(table, path, row_group_size=2)


def write_labels(folder: Path, *names: str) -> None:
    (folder / "id2label.json").write_text(json.dumps(dict(enumerate(names))))


def test_parquet_is_read_by_split_with_the_classes_of_id2label(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data/train-00000-of-00002.parquet", range(3))
    write_parquet(tmp_path / "data/train-00001-of-00002.parquet", range(3, 20), label="label")
    write_parquet(tmp_path / "data/validation-00000-of-00001.parquet", range(20, 22))
    write_labels(tmp_path, "road", "unlabeled", "sky")
    for _ in range(2):  # what was unpacked is taken again
        dataset = read_dataset(tmp_path, WHOLE)
        assert dataset.layout == "hugging_face"
        assert [one.name for one in dataset.class_list.classes] == ["road", "sky"]
        train = dataset.split("train")
        assert (len(train), len(dataset.split("val"))) == (20, 2)
        for n, sample in enumerate(train):
            np.testing.assert_array_equal(sample.mask.read(), np.array([0, 255, 1])[mask(n)])
            assert sample.image.name == f"{n if n < 3 else n - 3:08} image street {n}.jpg"
            assert sample.image.suffix == ".jpg"
            assert tmp_path in sample.image.parents


def test_values_of_parquet_may_be_shifted(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", range(2))
    write_labels(tmp_path, "road", "sky")
    dataset = read_dataset(tmp_path, WHOLE, LayoutOptions(ignore=0, shift=-1))
    back = dataset.split("train")[0].mask.read()
    np.testing.assert_array_equal(back, np.array([255, 0, 1])[mask(0)])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (("input", "target"), "has the columns of images input, target; one is"),
        (("image", "second"), "has the columns of images image, second; one is"),
    ],
)
def test_columns_that_say_nothing_are_named(
    tmp_path: Path, columns: tuple[str, str], told: str
) -> None:
    write_parquet(tmp_path / "train.parquet", range(1), *columns)
    with pytest.raises(DatasetError, match=told):
        scan_dataset(tmp_path)


def test_two_columns_of_masks_and_two_configurations_are_refused(tmp_path: Path) -> None:
    cell = [{"bytes": encoded(mask(0)), "path": None}]
    write_parquet(tmp_path / "a/train.parquet", range(1), mask=cell)
    with pytest.raises(DatasetError, match="image, annotation, mask; one is to be called"):
        scan_dataset(tmp_path)
    write_parquet(tmp_path / "b/train.parquet", range(1))
    with pytest.raises(DatasetError, match="in 2 folders"):
        scan_dataset(tmp_path)


def test_what_is_no_parquet_and_no_image_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(DatasetError, match="cannot be read as parquet"):
        scan_dataset(tmp_path)
    table = {"image": [{"bytes": b"torn", "path": "a"}], "mask": [{"bytes": None, "path": "b"}]}
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    with pytest.raises(DatasetError, match="row 0: its image is no image"):
        scan_dataset(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["train.parquet"]  # whole or not at all


def test_rows_without_a_mask_are_all_told(tmp_path: Path) -> None:
    table = {
        "image": [{"bytes": encoded(picture(n)), "path": None} for n in range(3)],
        "mask": [{"bytes": encoded(mask(0)), "path": None}, {"bytes": None, "path": "gone"}, None],
    }
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "train.parquet")
    texts = [issue.text for issue in scan_dataset(tmp_path).issues if issue.kind == "no mask"]
    assert [text.rsplit(", ", 1)[-1] for text in texts] == [
        "row 1 has no mask in it",
        "row 2 has no mask in it",
    ]


def test_without_pyarrow_a_sentence_says_how_to_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "train.parquet", range(1))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DatasetError, match=r"pip install 'segserve\[parquet\]'"):
        scan_dataset(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_metadata_table_pairs_images_and_masks(tmp_path: Path, kind: str) -> None:
    for split, seed in (("train", 0), ("test", 1)):
        folder = tmp_path / split
        (folder / "drawn").mkdir(parents=True)
        (folder / "a b.jpg").write_bytes(encoded(picture(seed), "JPEG"))
        (folder / "drawn/x.png").write_bytes(encoded(mask(seed)))
        row = {"file_name": "a b.jpg", "text": "a street", "mask_file_name": "drawn/x.png"}
        lines = [",".join(row), ",".join(row.values())] if kind == "csv" else [json.dumps(row), ""]
        (folder / f"metadata.{kind}").write_text("\n".join(lines))
    write_labels(tmp_path, "road", "grass", "sky")
    dataset = read_dataset(tmp_path, WHOLE)
    assert dataset.layout == "hugging_face"
    for split, seed in (("train", 0), ("test", 1)):
        (sample,) = dataset.split(split)
        np.testing.assert_array_equal(sample.mask.read(), mask(seed))


def test_files_that_a_table_names_and_are_not_there_are_all_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture(0)))
    (tmp_path / "metadata.csv").write_text("file_name,label_file_name\na.png,gone.png\n../b.png,\n")
    texts = [issue.text for issue in scan_dataset(tmp_path).issues if issue.kind == "no file"]
    assert [text.split(", ", 1)[1] for text in texts] == [
        "line 2: label_file_name is 'gone.png', which is not there",
        "line 3: file_name is '../b.png', which is not there",
        "line 3: label_file_name is '', which is not there",
    ]


def vistas(folder: Path, version: str, labels: list[dict[str, Any]]) -> None:
    name = f"config_{version}.json" if version else "config.json"
    (folder / name).write_text(json.dumps({"labels": labels, "version": "1"}))


def label(name: str, color: int, **more: Any) -> dict[str, Any]:
    return {"name": f"object--{name}", "readable": name.title(), "color": [color, 0, 9], **more}


def test_mapillary_is_read_by_the_newest_config(tmp_path: Path) -> None:
    vistas(tmp_path, "v1.2", [label("old", 1), label("older", 2)])
    vistas(
        tmp_path,
        "v2.0",
        [label("curb", 1), label("sky", 2, evaluate=True), label("mount", 3, evaluate=False)],
    )
    for split, seed in (("training", 0), ("validation", 1)):
        for place in ("images", "v1.2/labels", "v2.0/labels"):
            (tmp_path / split / place).mkdir(parents=True)
        (tmp_path / split / "images/a.jpg").write_bytes(encoded(picture(seed), "JPEG"))
        indexed = Image.fromarray(mask(seed))
        indexed.putpalette([1, 0, 9, 2, 0, 9, 3, 0, 9])
        indexed.save(tmp_path / split / "v2.0/labels/a.png")
    (tmp_path / "testing/images").mkdir(parents=True)
    (tmp_path / "testing/images/b.jpg").write_bytes(encoded(picture(3), "JPEG"))
    dataset = read_dataset(tmp_path, WHOLE)
    assert dataset.layout == "mapillary"
    classes = dataset.class_list.classes
    assert [(one.name, one.color) for one in classes] == [("Curb", "#010009"), ("Sky", "#020009")]
    for split, seed in (("train", 0), ("val", 1)):
        (sample,) = dataset.split(split)
        np.testing.assert_array_equal(sample.mask.read(), np.array([0, 1, 255])[mask(seed)])
    kinds = {issue.kind for issue in dataset.issues}
    assert {"several configs", "no labels"} <= kinds


def test_a_faulty_mapillary_label_is_named(tmp_path: Path) -> None:
    vistas(tmp_path, "", [label("a", 1), {"name": "b", "color": [1, 2]}])
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(DatasetError, match=r"labels\[1\] is not as Mapillary writes it"):
        scan_dataset(tmp_path)
