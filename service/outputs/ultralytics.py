"""`ultralytics`: the mask of one picture as Ultralytics' semantic segmentation reads it, a gray PNG
of class ids with 255 ignored; of a folder a data set, with data.yaml, images/ and masks/."""

import json
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import numpy as np

from models.contract import Contract
from service.domain.classes import bands
from service.domain.segmentation import Segmentation
from service.outputs.output import Output, OutputOptions
from service.outputs.png import EXTENSION, GRAY, MEDIA_TYPE, write_png
from service.outputs.project import Member, Project

_IGNORED = 255
_SPLITS = ("train", "val", "test")


class UltralyticsOptions(OutputOptions):
    pass


def encode(segmentation: Segmentation, _options: UltralyticsOptions) -> Iterator[bytes]:
    # No palette: of an indexed PNG whose colors are grays, Ultralytics reads these.
    class_map, ignore = segmentation.class_map, segmentation.model.contract.ignore
    ids = np.arange(256, dtype=np.uint8)
    if ignore is not None:
        ids[ignore] = _IGNORED
    height, width = class_map.shape
    rows = (ids[class_map[band]] for band in bands(height, width))
    return write_png(height, width, GRAY, rows)


def _write_config(
    contract: Contract, _options: UltralyticsOptions, members: Iterable[Member]
) -> Iterator[bytes]:
    """Splits are the folders of their names, where all pictures lie in such; else train and val
    both are all pictures, for Ultralytics wants both."""
    folders = {PurePosixPath(member.name).parts[0] for member in members}
    is_split = folders <= set(_SPLITS) and {"train", "val"} <= folders
    split = {name: f"images/{name}" for name in _SPLITS if name in folders}
    places = split if is_split else dict.fromkeys(("train", "val"), "images")
    names = {one.id: one.name for one in contract.classes}
    lines = [
        *(f"{split}: {place}" for split, place in places.items()),
        "masks_dir: masks",
        "names:",
        *(f"  {class_id}: {json.dumps(name)}" for class_id, name in names.items()),
    ]
    yield "\n".join([*lines, ""]).encode()


ULTRALYTICS = Output(
    name="ultralytics",
    title="Ultralytics",
    extensions={MEDIA_TYPE: EXTENSION},
    options=UltralyticsOptions,
    description=(
        "Gray PNG as Ultralytics' semantic segmentation reads it: values are class ids, 255 is "
        "ignored."
    ),
    encode=encode,
    project=Project(
        {"data.yaml": _write_config},
        answer_path=lambda name: f"masks/{PurePosixPath(name).with_suffix(EXTENSION)}",
        picture_path=lambda name: f"images/{name}",
    ),
)
