"""What `segserve predict` writes for annotation tools is read back by segtrain as the same class
maps, without the tools. `make test-clients` has the tools' own libraries in between.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import shapely
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import Dataset
from models.data.layouts.geometry import Polygon
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset
from service.cli import main
from service.domain.model import Model
from service.domain.segmentation import Segmentation
from service.domain.source import SourceInfo
from service.outputs import OUTPUTS
from service.outputs.outlines import EXACT_TOLERANCE, light_rings, without_holes
from service.outputs.polygons import regions_of
from service.outputs.project import Member
from tests.service.outputs.maps import make_model

WHOLE = SplitOptions(fraction=0)
SIZES = ((40, 60), (33, 47), (9, 1))
TOOLS = [
    ("labelstudio", {}),
    ("labelstudio", {"shapes": "bitmask"}),
    ("labelstudio", {"shapes": "polygon"}),
    ("cvat", {}),
    ("cvat", {"shapes": "polygon"}),
    ("qupath", {}),
    ("supervisely", {}),
    ("ultralytics", {}),
]


def scene(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """Five classes in blobs, in stairs, in rings within rings and in specks."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    class_map: NDArray[np.uint8] = ((x + 2 * y) // 9 % 3).astype(np.uint8)
    class_map[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2] = 3
    class_map[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 6) ** 2] = 0
    specks = draw.random((height, width)) < 0.03
    class_map[specks] = draw.integers(0, 5, int(specks.sum()))
    return class_map


def write_project(
    folder: Path, maps: dict[str, NDArray[np.uint8]], tool: str, options: dict[str, str]
) -> None:
    """As `segserve predict` does it of pictures of those names."""
    output = OUTPUTS[tool]
    first, *others = make_model(5).contract.classes
    classes = (first.model_copy(update={"name": "background"}), *others)
    update = {"classes": classes, "background": 0}
    model = Model(make_model(5).contract.model_copy(update=update), 2)
    chosen = output.options.model_validate(options)
    project = output.project
    assert project is not None
    members = []
    for name, class_map in maps.items():
        confidence = np.full(class_map.shape, 200, np.uint8)
        source = SourceInfo(file_name=name)
        segmentation = Segmentation(model, class_map, confidence, source=source)
        answer = output.write(segmentation, chosen).body
        place = project.answer_path(name) if project.answer_path else f"{name}.geojson"
        if project.folder == "":  # else they are the parts of a file of all
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(answer)
        picture = folder / (project.picture_path(name) if project.picture_path else name)
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*class_map.shape, 3), np.uint8)).save(picture)
        members.append(Member(name, partial(bytes, answer)))
    for name, content in project.files.items():
        (folder / name).write_bytes(b"".join(content(model.contract, chosen, members)))


def accept_predictions(file: Path) -> None:
    """What Label Studio's action "Create Annotations From Predictions" and its export do."""
    tasks = json.loads(file.read_bytes())
    for number, task in enumerate(tasks, start=1):
        task["id"] = number
        task["annotations"] = [
            {"id": number, "was_cancelled": False, "result": prediction["result"]}
            for prediction in task.pop("predictions")
        ]
    file.write_text(json.dumps(tasks))


def read_maps(dataset: Dataset, names: list[str]) -> dict[str, NDArray[np.uint8]]:
    """The class maps by their pictures' names, in the ids of `names`."""
    own = [one.name for one in dataset.class_list.classes]
    ids = np.array([names.index(name) if name in names else 254 for name in own], np.uint8)
    maps = {}
    for samples in dataset.splits.values():
        for sample in samples:
            mask = sample.mask.read()
            maps[sample.image.name] = np.where(
                mask == 255, 255, ids[np.minimum(mask, len(own) - 1)]
            )
    return maps


@pytest.mark.parametrize(("tool", "options"), TOOLS)
def test_a_project_is_read_back_as_its_class_maps(
    tmp_path: Path, tool: str, options: dict[str, str]
) -> None:
    maps = {f"a {n} é.png": scene(n, *size) for n, size in enumerate(SIZES)}
    write_project(tmp_path, maps, tool, options)
    if tool == "labelstudio":
        accept_predictions(tmp_path / "labelstudio.json")
    dataset = read_dataset(tmp_path, WHOLE, LayoutOptions())
    assert dataset.layout == tool
    names = ["background", "class 1", "class 2", "class 3", "class 4"]
    back = read_maps(dataset, names)
    assert back.keys() == maps.keys()
    for name, class_map in maps.items():
        np.testing.assert_array_equal(back[name], class_map)


def test_pixels_that_classes_left_out_are_ignored_where_that_is_asked_for(tmp_path: Path) -> None:
    class_map = scene(3, 30, 40)
    class_map[:5] = 255
    for tool in ("cvat", "ultralytics"):
        folder = tmp_path / tool
        folder.mkdir()
        write_project(folder, {"a.png": class_map}, tool, {})
        options = LayoutOptions(unlabelled="ignore") if tool == "cvat" else LayoutOptions()
        names = ["background", "class 1", "class 2", "class 3", "class 4"]
        back = read_maps(read_dataset(folder, WHOLE, options), names)["a.png"]
        expected = class_map if tool == "ultralytics" else np.where(class_map == 0, 255, class_map)
        np.testing.assert_array_equal(back, expected)


@pytest.mark.parametrize("tool", ["cvat", "supervisely", "ultralytics", "qupath"])
def test_the_command_writes_what_segtrain_reads(
    solvable_store: Path, tmp_path: Path, tool: str
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "trip").mkdir(parents=True)
    expected = {}
    for name in ("a.png", "trip/b c.png"):
        class_map = scene(len(name), 24, 31) % 3
        pixels = np.eye(3, dtype=np.uint8)[class_map] * 200
        Image.fromarray(pixels).save(photos / name)
        expected[Path(name).name] = class_map
    command = ["predict", "--model-store", str(solvable_store), "-m", "solvable", "-f", tool]
    assert main([*command, str(photos), "-o", str(out)]) == 0
    if tool in ("cvat", "qupath"):  # the tool has the pictures, and its export brings them
        shutil.copytree(photos, out, dirs_exist_ok=True)
    back = read_maps(read_dataset(out, WHOLE, LayoutOptions()), ["red", "green", "blue"])
    assert back.keys() == expected.keys()
    for name, class_map in expected.items():
        np.testing.assert_array_equal(back[name], class_map)


def test_light_outlines_hold_the_centers_that_the_region_has() -> None:
    draw = np.random.default_rng(0)
    for _ in range(40):
        noise = draw.integers(0, 3, draw.integers(1, 50, 2).tolist(), np.uint8)
        class_map = scipy.ndimage.median_filter(noise, 3)
        back = np.full_like(class_map, 9)
        for class_id, _, rings in regions_of(class_map, frozenset(range(3)), 0):
            light = light_rings(rings, EXACT_TOLERANCE)
            assert shapely.Polygon(light[0], light[1:]).is_valid
            size = class_map.shape[1], class_map.shape[0]
            stencil = Polygon((without_holes(light),)).stencil(size)
            back[stencil.box][stencil.pixels] = class_id
        np.testing.assert_array_equal(back, class_map)
