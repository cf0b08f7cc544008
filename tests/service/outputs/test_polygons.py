import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.errors import AnswerTooLargeError
from service.domain.segmentation import Segmentation
from service.outputs.polygons import _count
from tests.service.outputs.maps import class_maps, encode, make_model, read_polygons

MODEL = make_model()


def features(class_map: NDArray[np.uint8], **options: Any) -> list[dict[str, Any]]:
    document = json.loads(encode("polygons", Segmentation(MODEL, class_map), **options).body)
    assert document["type"] == "FeatureCollection"
    found: list[dict[str, Any]] = document["features"]
    return found


def shoelace(ring: list[list[float]]) -> float:
    """Twice the signed area, positive for counter-clockwise with y up."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring))


def test_a_square_is_its_four_corners() -> None:
    class_map = np.zeros((6, 6), np.uint8)
    class_map[1:4, 2:5] = 3
    (square,) = [f for f in features(class_map) if f["properties"]["id"] == 3]
    assert square["properties"] == {
        "id": 3,
        "name": "class 3",
        "color": MODEL.contract.classes[3].color,
        "area": 9,
    }
    (ring,) = square["geometry"]["coordinates"]
    assert {tuple(corner) for corner in ring} == {(2, 1), (5, 1), (5, 4), (2, 4)}
    assert ring[0] == ring[-1]


def test_what_lies_inside_a_region_is_a_hole_in_it() -> None:
    class_map = np.zeros((6, 6), np.uint8)
    class_map[2:4, 2:4] = 1
    around = next(f for f in features(class_map) if f["properties"]["id"] == 0)
    assert len(around["geometry"]["coordinates"]) == 2
    assert around["properties"]["area"] == 36 - 4


@settings(max_examples=100)
@given(class_maps(classes=3), st.sampled_from([0.0, 0.8, 2.0, 5.0]), st.sampled_from([0.0, 3.0]))
def test_every_polygon_is_valid_closed_and_wound_as_the_rfc_says(
    class_map: NDArray[np.uint8], tolerance: float, min_area: float
) -> None:
    for feature in features(class_map, tolerance=tolerance, min_area=min_area):
        rings = feature["geometry"]["coordinates"]
        assert shapely.Polygon(rings[0], rings[1:]).is_valid
        assert all(ring[0] == ring[-1] and len(ring) >= 4 for ring in rings)
        assert shoelace(rings[0]) > 0
        assert all(shoelace(hole) < 0 for hole in rings[1:])
        assert all(isinstance(value, int) for ring in rings for corner in ring for value in corner)


def test_the_collection_says_that_its_coordinates_are_pixels() -> None:
    document = json.loads(encode("polygons", Segmentation(MODEL, np.zeros((2, 3), np.uint8))).body)
    assert document["coordinate_system"].startswith("pixels")
    assert (document["width"], document["height"]) == (3, 2)
    assert document["model"] == {"name": "maps", "version": 2}
    # RFC 7946, 7.1: members of other GeoJSON types must not appear here
    assert not {"coordinates", "geometry", "geometries", "properties"} & document.keys()


def test_min_area_leaves_small_regions_out_and_fills_their_holes() -> None:
    class_map = np.zeros((10, 10), np.uint8)
    class_map[2, 2] = 1
    class_map[5:8, 5:8] = 2
    found = features(class_map, min_area=4)
    assert sorted((f["properties"]["id"], f["properties"]["area"]) for f in found) == [
        (0, 91),
        (2, 9),
    ]
    assert len(features(class_map, min_area=9)) == 2
    assert len(features(class_map, min_area=9.5)) == 1


def test_tolerance_leaves_fewer_corners_near_the_old_ones() -> None:
    rows, columns = np.mgrid[:80, :80]
    class_map = ((rows - 40) ** 2 + (columns - 40) ** 2 < 30**2).astype(np.uint8)
    exact, simple = (
        next(
            f["geometry"]["coordinates"][0]
            for f in features(class_map, tolerance=t)
            if f["properties"]["id"] == 1
        )
        for t in (0, 2)
    )
    assert len(simple) < len(exact) / 3
    assert shapely.hausdorff_distance(shapely.LinearRing(simple), shapely.LinearRing(exact)) <= 2


def test_left_out_pixels_have_no_polygon() -> None:
    body = encode(
        "polygons", Segmentation(MODEL, np.array([[1, 255, 255]], np.uint8)), classes="class 1"
    ).body
    assert read_polygons(body).tolist() == [[1, 255, 255]]
    assert len(json.loads(body)["features"]) == 1


def test_a_map_of_nothing_but_left_out_pixels_has_no_features() -> None:
    assert features(np.full((4, 4), 255, np.uint8), classes="class 1") == []


def test_a_map_of_noise_is_refused() -> None:
    checkers = np.indices((400, 400)).sum(axis=0).astype(np.uint8) % 2
    with pytest.raises(AnswerTooLargeError, match="160,000 regions with 319,200 pixel edges"):
        encode("polygons", Segmentation(MODEL, checkers))


def test_few_regions_with_endless_outlines_are_refused() -> None:
    comb = np.zeros((2100, 2000), np.uint8)
    comb[1:, ::2] = 1
    with pytest.raises(AnswerTooLargeError, match="pixel edges"):
        encode("polygons", Segmentation(MODEL, comb))


@settings(max_examples=100)
@given(class_maps(classes=3))
def test_no_map_has_more_regions_than_are_counted(class_map: NDArray[np.uint8]) -> None:
    _, regions = _count(class_map, slice(0, len(class_map)))
    assert len(features(class_map)) <= regions
