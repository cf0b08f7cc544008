import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from service.domain.segmentation import Segmentation
from service.domain.source import SourceInfo
from tests.service.outputs.maps import class_maps, encode, make_model, read_coco

MODEL = make_model()


@settings(max_examples=150)
@given(class_maps())
def test_each_class_is_written_as_pycocotools_writes_it(class_map: NDArray[np.uint8]) -> None:
    document = json.loads(encode("coco", Segmentation(MODEL, class_map)).body)
    class_ids = [annotation["category_id"] - 1 for annotation in document["annotations"]]
    assert class_ids == np.unique(class_map).tolist()
    for class_id, annotation in zip(class_ids, document["annotations"], strict=True):
        mask = np.asfortranarray(class_map == class_id, np.uint8)
        expected = coco_mask.encode(mask)
        assert annotation["segmentation"]["counts"].encode() == expected["counts"]
        assert annotation["segmentation"]["size"] == list(expected["size"])
        assert annotation["area"] == coco_mask.area(expected)
        rows, columns = np.nonzero(mask)
        left, top = columns.min(), rows.min()
        assert annotation["bbox"] == [left, top, columns.max() - left + 1, rows.max() - top + 1]


def test_the_file_is_a_dataset_that_the_coco_class_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_map = np.random.default_rng(0).integers(0, 11, (12, 17), np.uint8)
    info = SourceInfo(file_name="photo.jpg", page=2, pages=3)
    file = tmp_path / "answer.json"
    file.write_bytes(encode("coco", Segmentation(MODEL, class_map, source=info)).body)
    dataset = COCO(str(file))
    capsys.readouterr()
    categories = dataset.loadCats(dataset.getCatIds())
    assert [c["name"] for c in categories] == [c.name for c in MODEL.contract.classes]
    assert [c["class_id"] for c in categories] == list(range(11))
    assert dataset.loadImgs(1)[0]["file_name"] == "photo.jpg"
    assert (dataset.dataset["info"]["page"], dataset.dataset["info"]["pages"]) == (2, 3)
    read = np.full((12, 17), 255, np.uint8)
    for annotation in dataset.loadAnns(dataset.getAnnIds(imgIds=[1])):
        (category,) = dataset.loadCats(annotation["category_id"])
        read[dataset.annToMask(annotation) == 1] = category["class_id"]
    np.testing.assert_array_equal(read, class_map)


def test_no_category_has_the_id_that_many_readers_take_for_none() -> None:
    document = json.loads(encode("coco", Segmentation(MODEL, np.zeros((2, 3), np.uint8))).body)
    assert [category["id"] for category in document["categories"]] == list(range(1, 12))
    assert [annotation["category_id"] for annotation in document["annotations"]] == [1]


def test_a_picture_without_a_name_is_called_image() -> None:
    document = json.loads(encode("coco", Segmentation(MODEL, np.zeros((2, 3), np.uint8))).body)
    assert document["images"] == [{"id": 1, "file_name": "image", "width": 3, "height": 2}]


def test_classes_left_out_have_no_annotation() -> None:
    model = make_model(4, background=0)
    class_map = np.array([[0, 3, 1]], np.uint8)
    body = encode("coco", Segmentation(model, class_map), classes="class 3,class 1").body
    assert read_coco(body).tolist() == [[255, 3, 1]]
    everything = encode("coco", Segmentation(model, class_map)).body
    assert read_coco(everything).tolist() == [[0, 3, 1]]


def test_long_runs_take_several_digits() -> None:
    class_map = np.zeros((3000, 700), np.uint8)
    class_map[2999, 699] = 1
    body = encode("coco", Segmentation(MODEL, class_map)).body
    np.testing.assert_array_equal(read_coco(body), class_map)
