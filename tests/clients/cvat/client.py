"""The function for CVAT against cvat-sdk's own validation and masks. CVAT's server, which is many
containers, is not here: what is sent to it is what the SDK has checked."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from cvat_cli._internal.common import FunctionLoader
from cvat_sdk import models
from cvat_sdk.auto_annotation.driver import _AnnotationMapper, _DetectionFunctionContextImpl
from cvat_sdk.masks import decode_mask, encode_mask
from PIL import Image, ImageDraw

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.clients.projects import pictures, predicted, require_same

EXPECTED = np.load(FOLDER / "class_map.npy")
HEIGHT, WIDTH = EXPECTED.shape


def loaded():
    """The function as `cvat-cli … --function-file` loads it."""
    path = FOLDER / "segserve_cvat.py"
    command = [os.environ["SEGSERVE_PYTHON"], "-m", "service.cli", "cvat", "-o", path]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run(command, env=environment, check=True)
    parameters = {"url": f"http://{HOST}", "model": "street"}
    return FunctionLoader(None, path, parameters).load()


def shapes(function, **context):
    """What a task with the function's own labels would be given, after the SDK's validation."""
    labels = [
        models.Label(
            name=label.name,
            id=100 + label.id,
            type="any",
            attributes=[],
            sublabels=[],
            color="#000000",
        )
        for label in function.spec.labels
    ]
    mapper = _AnnotationMapper(
        logging.getLogger("cvat"),
        function.spec.labels,
        labels,
        allow_unmatched_labels=False,
        conv_mask_to_poly=context.get("conv_mask_to_poly", False),
    )
    image = Image.open(FOLDER / "image.png")
    found = function.detect(_DetectionFunctionContextImpl(frame_name="image.png", **context), image)
    mapper.validate_and_remap(found, 0)
    return found


def through_sdk():
    """annotations.xml of a folder, each mask decoded and encoded by the SDK."""
    project, photos = predicted(FOLDER, "cvat"), pictures(FOLDER)
    tree = ElementTree.parse(project / "annotations.xml")
    masks = 0
    for image in tree.iter("image"):
        width, height = int(image.get("width")), int(image.get("height"))
        for mask in image.iter("mask"):
            left, top, across, down = (
                int(mask.get(name)) for name in ("left", "top", "width", "height")
            )
            runs = [int(run) for run in mask.get("rle").split(",")]
            points = [*runs, left, top, left + across - 1, top + down - 1]
            pixels = decode_mask(points, image_width=width, image_height=height)
            *runs, left, top, right, bottom = map(int, encode_mask(pixels))
            box = {"left": left, "top": top, "width": right - left + 1, "height": bottom - top + 1}
            for name, value in box.items():
                mask.set(name, str(value))
            mask.set("rle", ", ".join(map(str, runs)))
            masks += 1
    export = FOLDER / "cvat-export"
    shutil.copytree(photos, export / "images")
    tree.write(export / "annotations.xml")
    require_same(export, FOLDER)
    print(f"cvat: {masks} masks of a folder through the SDK come back as they were")


def main():
    through_sdk()
    function = loaded()
    assert {label.type for label in function.spec.labels} == {"mask"}
    class_map = np.full((HEIGHT, WIDTH), 255, np.uint8)
    for shape in shapes(function):
        assert shape.type.value == "mask"
        class_map[decode_mask(shape.points, image_width=WIDTH, image_height=HEIGHT)] = (
            shape.label_id - 100
        )
    np.testing.assert_array_equal(class_map, EXPECTED)
    canvas = Image.new("L", (WIDTH, HEIGHT), 255)
    for shape in sorted(shapes(function, conv_mask_to_poly=True), key=lambda one: -len(one.points)):
        assert shape.type.value == "polygon"
        ImageDraw.Draw(canvas).polygon(shape.points, fill=shape.label_id - 100)
    agree = (np.asarray(canvas) == EXPECTED).mean()
    assert agree > 0.97, agree
    print(f"cvat: masks are equal, polygons of a pixel's tolerance agree in {agree:.1%} of pixels")


main()
