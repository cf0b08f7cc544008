"""What the service gives QuPath is read back by segtrain as the same class map."""

from pathlib import Path

import numpy as np
import orjson
from PIL import Image

from models.data.options import SplitOptions
from models.data.reading import read_dataset
from service.domain.segmentation import Segmentation
from service.outputs import OUTPUTS
from tests.service.outputs.maps import make_model


def test_polygons_for_qupath_beside_their_picture_are_the_class_map(tmp_path: Path) -> None:
    model = make_model(5, background=0)
    class_map = np.random.default_rng(0).integers(0, 5, (9, 13), np.uint8)
    polygons = OUTPUTS["polygons"]
    options = polygons.options.model_validate({"properties": "qupath"})
    answer = polygons.write(Segmentation(model, class_map), options).body
    feature = orjson.loads(answer)["features"][0]["properties"]
    assert feature["objectType"] == "annotation"
    assert feature["classification"].keys() == {"name", "color"}
    (tmp_path / "slide.geojson").write_bytes(answer)
    Image.fromarray(np.zeros((9, 13, 3), np.uint8)).save(tmp_path / "slide.png")
    dataset = read_dataset(tmp_path, SplitOptions(fraction=0))
    names = [one.name for one in dataset.class_list.classes]
    ids = np.array([names.index(f"class {number}") for number in range(5)])
    np.testing.assert_array_equal(dataset.split("train")[0].mask.read(), ids[class_map])
