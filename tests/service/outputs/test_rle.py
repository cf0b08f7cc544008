import json

import numpy as np
from hypothesis import given
from numpy.typing import NDArray

from models.contract.intensity import IntensityWindow
from service.domain.segmentation import Segmentation
from service.outputs.runs import find_runs
from tests.service.outputs.maps import class_maps, encode, make_model

MODEL = make_model(3)


def test_the_document_is_the_design_s() -> None:
    class_map = np.array([[0, 0, 2], [2, 2, 0]], np.uint8)
    encoded = encode("rle", Segmentation(MODEL, class_map))
    colors = [segmentation_class.color for segmentation_class in MODEL.contract.classes]
    assert (encoded.media_type, encoded.extension) == ("application/json", ".json")
    assert json.loads(encoded.body) == {
        "model": {"name": "maps", "version": 2},
        "page": 1,
        "pages": 1,
        "width": 3,
        "height": 2,
        "scale": 1.0,
        "classes": [
            {"id": 0, "name": "class 0", "color": colors[0], "pixels": 3, "fraction": 0.5},
            {"id": 2, "name": "class 2", "color": colors[2], "pixels": 3, "fraction": 0.5},
        ],
        "rle": {"order": "row-major", "values": [0, 2, 0], "lengths": [2, 3, 1]},
    }


def test_the_document_says_at_which_size_and_depth_the_picture_was_seen() -> None:
    segmentation = Segmentation(
        MODEL, np.zeros((2, 2), np.uint8), scale=0.125, window=IntensityWindow(200, 3000)
    )
    document = json.loads(encode("rle", segmentation).body)
    assert (document["scale"], document["intensity"]) == (0.125, [200, 3000])


def test_pixels_left_out_are_listed_as_ignored() -> None:
    document = json.loads(encode("rle", Segmentation(MODEL, np.array([[1, 255]], np.uint8))).body)
    assert [(entry["id"], entry["name"]) for entry in document["classes"]] == [
        (1, "class 1"),
        (255, "ignore"),
    ]


@given(class_maps())
def test_runs_are_maximal_and_their_pixels_add_up(class_map: NDArray[np.uint8]) -> None:
    runs = find_runs(class_map.reshape(-1))
    assert (runs.values[1:] != runs.values[:-1]).all()
    assert (runs.lengths > 0).all()
    assert runs.lengths.sum() == class_map.size
    ids, counts = np.unique(class_map, return_counts=True)
    assert runs.pixels() == dict(zip(ids.tolist(), counts.tolist(), strict=True))
