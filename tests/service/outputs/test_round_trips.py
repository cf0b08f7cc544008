"""Every exact format of one map decodes to that map."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from service.domain.segmentation import Segmentation
from tests.service.outputs.maps import (
    class_maps,
    encode,
    make_model,
    read_coco,
    read_png,
    read_polygons,
    read_rle,
)

MODEL = make_model()
DECODERS: dict[str, Callable[[bytes], NDArray[np.uint8]]] = {
    "png": read_png,
    "rle": read_rle,
    "coco": read_coco,
    "polygons": read_polygons,
}


@settings(max_examples=150)
@given(class_maps())
def test_png_rle_coco_and_polygons_decode_to_the_same_map(class_map: NDArray[np.uint8]) -> None:
    for name, decode in DECODERS.items():
        body = encode(name, Segmentation(MODEL, class_map)).body
        np.testing.assert_array_equal(decode(body), class_map, err_msg=name)


@settings(max_examples=30)
@given(class_maps(classes=256))
def test_png_and_rle_hold_all_256_ids(class_map: NDArray[np.uint8]) -> None:
    segmentation = Segmentation(make_model(256, ignore=None), class_map)
    np.testing.assert_array_equal(read_png(encode("png", segmentation).body), class_map)
    np.testing.assert_array_equal(read_rle(encode("rle", segmentation).body), class_map)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (1500, 1400)])
def test_maps_of_one_row_one_column_and_several_bands_are_whole(
    name: str, shape: tuple[int, int]
) -> None:
    coarse = np.random.default_rng(0).integers(
        0, 11, (shape[0] // 25 + 1, shape[1] // 25 + 1), np.uint8
    )
    class_map = coarse.repeat(25, axis=0).repeat(25, axis=1)[: shape[0], : shape[1]]
    body = encode(name, Segmentation(MODEL, np.ascontiguousarray(class_map))).body
    np.testing.assert_array_equal(DECODERS[name](body), class_map)


@settings(max_examples=50)
@given(class_maps())
def test_encoding_does_not_change_the_map(class_map: NDArray[np.uint8]) -> None:
    before = class_map.copy()
    for name in DECODERS:
        encode(name, Segmentation(MODEL, class_map))
    np.testing.assert_array_equal(class_map, before)
