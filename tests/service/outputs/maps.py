"""Class maps and models to encode, and one decoder for each exact format."""

import io
import json
from typing import Any

import numpy as np
import rasterio.features
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from models.contract import Contract, SegmentationClass
from service.domain.model import Model
from service.domain.segmentation import Segmentation
from service.outputs import OUTPUTS, Encoded

IGNORE = 255


def make_model(
    classes: int = 11,
    *,
    background: int | None = None,
    ignore: int | None = IGNORE,
    channels: int = 3,
) -> Model:
    colors = np.random.default_rng(5).choice(256**3, classes, replace=False)
    contract = Contract.model_validate(
        {
            "name": "maps",
            "classes": [
                SegmentationClass(id=i, name=f"class {i}", color=f"#{color:06x}")
                for i, color in enumerate(colors)
            ],
            "background": background,
            "ignore": ignore,
            "channels": channels,
            "stride": 8,
            "receptive_field_radius": 8,
            "architecture": "none",
            "upsampling": "none",
            "parameters": 0,
            "files": {},
        }
    )
    return Model(contract, 2)


def class_maps(classes: int = 11) -> st.SearchStrategy[NDArray[np.uint8]]:
    """Maps of up to 40 × 40: noise, and noise enlarged to blocks."""
    sides = st.tuples(st.integers(1, 20), st.integers(1, 20))
    noise = hnp.arrays(np.uint8, sides, elements=st.integers(0, classes - 1))
    return st.builds(lambda values, times: values.repeat(times, axis=0), noise, st.integers(1, 2))


def encode(name: str, segmentation: Segmentation, **options: Any) -> Encoded:
    chosen = OUTPUTS[name]
    return chosen.write(segmentation, chosen.options.model_validate(options))


def read_png(body: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(body)))


def read_rle(body: bytes) -> NDArray[np.uint8]:
    document = json.loads(body)
    assert document["rle"]["order"] == "row-major"
    flat = np.repeat(np.array(document["rle"]["values"], np.uint8), document["rle"]["lengths"])
    return flat.reshape(document["height"], document["width"])


def read_coco(body: bytes, rest: int = IGNORE) -> NDArray[np.uint8]:
    """Through pycocotools; pixels without an annotation are `rest`."""
    document = json.loads(body)
    (image,) = document["images"]
    class_map = np.full((image["height"], image["width"]), rest, np.uint8)
    class_ids = {category["id"]: category["class_id"] for category in document["categories"]}
    for annotation in document["annotations"]:
        class_map[coco_mask.decode(annotation["segmentation"]) == 1] = class_ids[
            annotation["category_id"]
        ]
    return class_map


def read_polygons(body: bytes, rest: int = IGNORE) -> NDArray[np.uint8]:
    document = json.loads(body)
    shape = document["height"], document["width"]
    shapes = [
        (feature["geometry"], feature["properties"]["id"]) for feature in document["features"]
    ]
    if not shapes:
        return np.full(shape, rest, np.uint8)
    rasterised: NDArray[np.uint8] = rasterio.features.rasterize(
        shapes, shape, fill=rest, dtype="uint8"
    )
    return rasterised
