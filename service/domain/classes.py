"""The option `classes` that every format has, and how classes are written in JSON and palettes."""

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.domain.class_names import parse_class_names
from service.domain.errors import InvalidOptionError
from service.domain.overlap import top_classes

IGNORE_NAME = "ignore"
IGNORE_COLOR = "#e0e0c0"  # the cream that PASCAL VOC gives its void pixels; a contract names none
BAND_PIXELS = 2**20
_NO_PICTURE = 255  # of pixels without a picture, where the model has no ignore id


def void_id(contract: Contract) -> int | None:
    """What a pixel without a picture gets; None where every id is a class."""
    if contract.ignore is not None:
        return contract.ignore
    return _NO_PICTURE if len(contract.classes) <= _NO_PICTURE else None


def kept_ids(contract: Contract, classes: str | None) -> frozenset[int]:
    """The ids of the classes named in `classes` ("car,person", see `class_names.py`), or of all.

    Raises InvalidOptionError.
    """
    ids = {
        segmentation_class.name: segmentation_class.id for segmentation_class in contract.classes
    }
    if classes is None:
        return frozenset(ids.values())
    kept = frozenset(ids[name] for name in parse_class_names(classes, contract.name, list(ids)))
    if len(kept) < len(ids) and contract.background is None and contract.ignore is None:
        raise InvalidOptionError(
            f"{contract.name} has neither a background class nor an ignore id to give to the "
            "pixels that `classes` leaves out. Ask for all classes, and drop those you do not need "
            "from the answer."
        )
    return kept


def keep_classes(
    contract: Contract,
    kept: frozenset[int],
    class_map: NDArray[np.uint8],
    confidence: NDArray[np.uint8] | None,
    probabilities: NDArray[np.float32] | None = None,
) -> None:
    """Give other classes' pixels of `class_map` (H, W) the background or else the ignore id.

    Works in place. Their confidence becomes 0, for it was another class's. Pixels that have the
    ignore id already keep it. Where classes overlap, what lies under others comes forth as these
    go, by the `probabilities` (H, W, classes).
    """
    if len(kept) == len(contract.classes):
        return
    if contract.overlap is not None:
        assert probabilities is not None  # the options say need
        for rows in bands(*class_map.shape):
            ids, of_top = top_classes(probabilities[rows], contract.overlap, kept)
            if confidence is not None:
                confidence[rows] = np.where(
                    (ids == 0) & (class_map[rows] != 0), 0, np.rint(of_top * 255)
                )
            class_map[rows] = ids
        return
    rest = contract.ignore if contract.background is None else contract.background
    assert rest is not None  # kept_ids has refused a model that has neither
    table = bytes(i if i in kept or i == contract.ignore else rest for i in range(256))
    for rows in bands(*class_map.shape):
        band = class_map[rows]
        if confidence is not None:
            confidence[rows][~is_one_of(band, kept)] = 0
        band[...] = _translate(band, table)


def is_one_of(class_map: NDArray[np.uint8], ids: frozenset[int]) -> NDArray[np.bool_]:
    """Which pixels (H, W) have one of `ids`."""
    return _translate(class_map, bytes(i in ids for i in range(256))).view(np.bool_)


def palette(contract: Contract) -> NDArray[np.uint8]:
    """The colours (n, 3) of ids 0 to the largest in any class map, the ignore id included."""
    colors = [segmentation_class.rgb for segmentation_class in contract.classes]
    if contract.ignore is not None:
        colors += [(0, 0, 0)] * (contract.ignore - len(colors))
        colors.append(_rgb(IGNORE_COLOR))
    return np.array(colors, np.uint8)


def describe(contract: Contract, class_id: int) -> dict[str, int | str]:
    """The id, name and colour of a value in a class map, as JSON answers give them."""
    if class_id == contract.ignore:
        return {"id": class_id, "name": IGNORE_NAME, "color": IGNORE_COLOR}
    segmentation_class = contract.classes[class_id]
    return {"id": class_id, "name": segmentation_class.name, "color": segmentation_class.color}


def bands(height: int, width: int) -> list[slice]:
    """Cut a picture into slices of rows of about a megapixel, for small temporary arrays."""
    rows = max(1, BAND_PIXELS // width)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue


def _translate(class_map: NDArray[np.uint8], table: bytes) -> NDArray[np.uint8]:
    """`table[class_map]`, several times as fast: numpy would first widen each id to 8 bytes."""
    return np.frombuffer(class_map.tobytes().translate(table), np.uint8).reshape(class_map.shape)
