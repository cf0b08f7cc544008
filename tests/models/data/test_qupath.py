"""QuPath's GeoJSON, by its documented form."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import DatasetError
from models.data.options import SplitOptions
from models.data.reading import read_dataset, scan_dataset

WHOLE = SplitOptions(fraction=0)
WIDTH, HEIGHT = 20, 12
TUMOR = {"name": "Tumor", "color": [200, 0, 0]}


def box(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def feature(*rings: Any, kind: str = "Polygon", classification: Any = TUMOR) -> dict[str, Any]:
    properties = {"objectType": "annotation", "isLocked": False}
    if classification:
        properties["classification"] = classification
    return {
        "type": "Feature",
        "id": "4b6d",
        "properties": properties,
        "geometry": {"type": kind, "coordinates": list(rings)},
    }


def exported(folder: Path, *features: Any, name: str = "slide.geojson") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "slide.tif")
    document = {"type": "FeatureCollection", "features": features}
    (folder / name).write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize("name", ["slide.geojson", "slide.tif.geojson", "slide.json"])
def test_polygons_with_holes_are_drawn_and_smaller_objects_lie_on_top(
    tmp_path: Path, name: str
) -> None:
    nucleus = {"names": ["Nucleus", "Positive"], "colorRGB": -16776961}
    folder = exported(
        tmp_path,
        feature(box(2, 2, 4, 4), classification=nucleus),
        feature(box(0, 0, 10, 10), box(6, 6, 8, 8)),
        feature([box(12, 0, 14, 2)], [box(16, 0, 18, 2)], kind="MultiPolygon"),
        feature([1, 1], kind="Point"),
        feature(box(0, 0, 1, 1), classification=None),
        name=name,
    )
    dataset = read_dataset(folder, WHOLE)
    assert dataset.layout == "qupath"
    assert [(c.name, c.color) for c in dataset.class_list.classes] == [
        ("background", "#000000"),
        ("Nucleus: Positive", "#0000ff"),
        ("Tumor", "#c80000"),
    ]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:10, :10] = 2
    expected[6:8, 6:8] = 0
    expected[2:4, 2:4] = 1
    expected[:2, 12:14] = expected[:2, 16:18] = 2
    assert np.array_equal(dataset.split("train")[0].mask.read(), expected)
    texts = [issue.text for issue in dataset.issues]
    assert any("without a classification, left out: 1" in text for text in texts)
    assert any("cover no pixels" in text for text in texts)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (feature([[0, 0], [1, 1]]), "three corners"),
        (feature(), "has no rings"),
        ({"type": "Feature", "geometry": {}, "objectType": 0}, "has no 'properties'"),
        (feature(box(0, 0, 1, 1), classification={"color": [0, 0, 0]}), "has no 'name'"),
        (3, "not a JSON object"),
    ],
)
def test_faulty_objects_are_named(tmp_path: Path, entry: Any, said: str) -> None:
    sound = feature(box(0, 0, 1, 1))
    with pytest.raises(DatasetError, match=said) as raised:
        read_dataset(exported(tmp_path, sound, entry), WHOLE)
    assert "features[1]" in str(raised.value)


def test_a_file_without_its_image_is_told(tmp_path: Path) -> None:
    folder = exported(tmp_path, feature(box(0, 0, 1, 1)), name="other.geojson")
    issues = scan_dataset(folder, WHOLE).issues
    assert any("name it as its image" in issue.text for issue in issues)
