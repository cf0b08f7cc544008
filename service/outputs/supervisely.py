"""`supervisely`: the annotation of one picture in Supervisely's JSON, a bitmap a class; of a folder
a project, with meta.json and in each data set img/ and ann/."""

import base64
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image

from models.contract import Contract
from service.domain.classes import is_one_of, kept_ids
from service.domain.segmentation import Segmentation
from service.outputs.output import Output, OutputOptions, OverlapWriting
from service.outputs.project import Member, Project, drawn_classes

_DATASET = "images"  # of pictures that lie in no folder


class SuperviselyOptions(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "each"


def encode(segmentation: Segmentation, options: SuperviselyOptions) -> Iterator[bytes]:
    contract = segmentation.model.contract
    height, width = segmentation.class_map.shape
    kept = kept_ids(contract, options.classes)
    head = {"description": "", "tags": [], "size": {"height": height, "width": width}}
    yield orjson.dumps(head)[:-1] + b',"objects":['
    comma = b""
    drawn = {one.id: one.name for one in drawn_classes(contract) if one.id in kept}
    for ids, layer in segmentation.layers(frozenset(drawn)):
        for class_id in sorted(ids):
            mask = is_one_of(layer, frozenset({class_id}))
            if mask.any():
                yield comma + orjson.dumps(_object(drawn[class_id], mask))
                comma = b","
    yield b"]}"


def _object(name: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A bitmap of the box of the mask's pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    box = Image.fromarray(mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8))
    box.putpalette([0, 0, 0, 255, 255, 255])
    png = io.BytesIO()
    box.save(png, "PNG", bits=1, transparency=0)
    data = base64.b64encode(zlib.compress(png.getvalue())).decode()
    return {
        "classTitle": name,
        "description": "",
        "geometryType": "bitmap",
        "tags": [],
        "bitmap": {"data": data, "origin": [left, top]},
    }


def _write_meta(
    contract: Contract, options: SuperviselyOptions, _members: Iterable[Member]
) -> Iterator[bytes]:
    kept = kept_ids(contract, options.classes)
    classes = [
        {"title": one.name, "shape": "bitmap", "color": one.color.upper(), "geometry_config": {}}
        for one in drawn_classes(contract)
        if one.id in kept
    ]
    yield orjson.dumps({"classes": classes, "tags": [], "projectType": "images"})


def _place(name: str, kind: str) -> str:
    """Below the data set of a picture's folders: street/north/a.jpg is of street_north."""
    path = PurePosixPath(name)
    dataset = "_".join(path.parts[:-1]) or _DATASET
    return f"{dataset}/{kind}/{path.name}"


SUPERVISELY = Output(
    name="supervisely",
    title="Supervisely",
    extensions={"application/json": ".json"},
    options=SuperviselyOptions,
    description="Supervisely's JSON of one picture: a bitmap a class.",
    encode=encode,
    project=Project(
        {"meta.json": _write_meta},
        answer_path=lambda name: f"{_place(name, 'ann')}.json",
        picture_path=lambda name: _place(name, "img"),
    ),
)
