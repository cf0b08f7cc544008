"""`masks`: a ZIP archive with a black and white PNG a class, and what each file is.

    masks.json    {"model": {…}, "width": 480, "height": 360,
                   "classes": [{"id": 3, "name": "road", "color": "#804080",
                                "file": "3-road.png", "pixels": 51234}, …]}
    3-road.png    gray, 255 where the pixel is of the class, else 0

A class that does not occur has no file. Classes that overlap have all of their pixels each.
"""

import re
import zipfile
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray

from service.domain.classes import bands, describe, is_one_of, kept_ids
from service.domain.segmentation import Segmentation
from service.outputs.output import Output, OutputOptions, OverlapWriting
from service.outputs.pieces import Pieces
from service.outputs.png import EXTENSION, GRAY, write_png

INDEX = "masks.json"
_WHITE = 255
_UNSAFE = re.compile(r"[^\w.-]+")


class MasksOptions(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "each"


def encode(segmentation: Segmentation, options: MasksOptions) -> Iterator[bytes]:
    model, contract = segmentation.model, segmentation.model.contract
    height, width = segmentation.class_map.shape
    file, listed = Pieces(), []
    with zipfile.ZipFile(file, "w") as archive:
        for ids, layer in segmentation.layers(kept_ids(contract, options.classes)):
            for class_id in sorted(ids):
                mask = is_one_of(layer, frozenset({class_id}))
                pixels = int(np.count_nonzero(mask))
                if not pixels:
                    continue
                described = describe(contract, class_id)
                name = f"{class_id}-{_UNSAFE.sub('_', str(described['name']))[:64]}{EXTENSION}"
                _write(archive, name, mask)
                listed.append({**described, "file": name, "pixels": pixels})
        index: dict[str, Any] = {
            "model": {"name": contract.name, "version": model.version},
            **segmentation.source.place(),
            "width": width,
            "height": height,
            **segmentation.seen(),
            "classes": listed,
        }
        archive.writestr(zipfile.ZipInfo(INDEX), orjson.dumps(index))
    return file.take()


def _write(archive: zipfile.ZipFile, name: str, mask: NDArray[np.bool_]) -> None:
    height, width = mask.shape
    rows = (mask[band].view(np.uint8) * np.uint8(_WHITE) for band in bands(height, width))
    with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
        for piece in write_png(height, width, GRAY, rows):
            entry.write(piece)


MASKS = Output(
    name="masks",
    title="Masks",
    extensions={"application/zip": ".zip"},
    options=MasksOptions,
    description=(
        "ZIP archive with a black and white PNG a class that occurs, and `masks.json`, which says "
        "whose each is; classes may overlap."
    ),
    encode=encode,
)
