import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from service.domain.segmentation import Segmentation
from tests.service.outputs.maps import class_maps, encode, make_model, read_coco

MODEL = make_model()


@settings(max_examples=150)
@given(class_maps())
def test_each_class_is_written_as_pycocotools_writes_it(class_map: NDArray[np.uint8]) -> None:
    document = json.loads(encode("coco", Segmentation(MODEL, class_map)).body)
    assert [annotation["category_id"] for annotation in document["annotations"]] == np.unique(
        class_map
    ).tolist()
    for annotation in document["annotations"]:
        mask = np.asfortranarray(class_map == annotation["category_id"], np.uint8)
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
    file = tmp_path / "answer.json"
    file.write_bytes(encode("coco", Segmentation(MODEL, class_map)).body)
    dataset = COCO(str(file))
    capsys.readouterr()
    assert [c["name"] for c in dataset.loadCats(dataset.getCatIds())] == [
        c.name for c in MODEL.contract.classes
    ]
    read = np.full((12, 17), 255, np.uint8)
    for annotation in dataset.loadAnns(dataset.getAnnIds(imgIds=[1])):
        read[dataset.annToMask(annotation) == 1] = annotation["category_id"]
    np.testing.assert_array_equal(read, class_map)


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
