"""Pictures that came back with a corrected mask: a data set that `segtrain train` reads.

    <folder>/<model>/labeled/classes.json
                             images/<digest>.jpg   the file as it came
                             masks/<digest>.png    gray, a pixel's value is its class id

A picture's name is the digest of its bytes, so one that comes again replaces its mask. The mask is
written first, since a mask without an image is passed over and an image without a mask is not.
"""

import hashlib
import io
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from models.contract import Contract, atomic
from service.capture.folder import FILE_MODE, FOLDER_MODE, captured_image
from service.domain.classes import bands
from service.domain.errors import (
    InvalidOptionError,
    ServiceError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)
from service.inputs import INPUTS, open_source
from service.outputs.png import GRAY, write_png

# What is trained on of the types that are read.
TRAINED_TYPES = ("JPEG", "PNG", "TIFF", "BMP", "WebP")
_MASK_MODES = ("L", "P")


class FeedbackRefusedError(ServiceError):
    """The folder takes no more, or not of these classes."""


class UnknownCaptureError(ServiceError):
    """No picture is kept under this id."""


@dataclass(frozen=True)
class Stored:
    """A picture of the data set: its `name` is that of its files, without their suffix."""

    name: str
    replaced: bool
    images: int


def refuse_if_full(model: str, bytes_then: int, max_bytes: int) -> None:
    """Raises FeedbackRefusedError where a model's data set would take more than it may."""
    if bytes_then > max_bytes:
        raise FeedbackRefusedError(
            f"The labeled pictures of {model} would take {bytes_then} bytes, and may take "
            f"{max_bytes} (SEGSERVE_CAPTURE_MAX_BYTES). The operator has to move them on first."
        )


class LabeledFolder:
    """Its methods block, and may be called on any thread."""

    def __init__(self, folder: Path, max_bytes: int, max_pixels: int) -> None:
        self._folder, self._max_bytes, self._max_pixels = folder, max_bytes, max_pixels
        self._one = threading.Lock()  # a decoded picture at a time, and names are looked up

    def captured(self, id: str) -> tuple[str, bytes]:
        """The model's name and the file of a picture that was kept. Raises UnknownCaptureError."""
        found = captured_image(self._folder, id)
        if found is None:
            raise UnknownCaptureError(
                f"No picture is kept under the id {id[:80]!r}: it was never kept, or has left to "
                "make room. Send the picture itself, in a part named image."
            )
        try:
            return found[0], found[1].read_bytes()
        except FileNotFoundError:
            raise UnknownCaptureError(
                f"The picture {id} has just left to make room. Send the picture itself, in a part "
                "named image."
            ) from None

    def add(self, contract: Contract, picture: bytes, mask: bytes) -> Stored:
        """Check a pair, and put it into the data set. Raises ServiceError and OSError."""
        with self._one:
            suffix, shape = self._check_picture(picture)
            ids = self._read_mask(mask, shape, contract)
            return self._write(contract, picture, suffix, ids)

    def _check_picture(self, picture: bytes) -> tuple[str, tuple[int, int]]:
        """Its suffix, and its height and width upright, decoded once so that it is known to be
        whole.
        """
        source = open_source(picture, self._max_pixels)
        if source.type not in TRAINED_TYPES:
            raise UnsupportedImageTypeError(
                f"The picture is {source.type}, which is not trained on. Send it as one of "
                f"{', '.join(TRAINED_TYPES)}."
            )
        if source.info.pages > 1:
            raise InvalidOptionError(
                f"The file has {source.info.pages} pages, and a mask is of one. Send the page as a "
                "file of its own."
            )
        height, width = source.read().shape[:2]  # what turns it may lie behind its pixels
        return INPUTS[source.type].suffixes[0], (height, width)

    def _read_mask(
        self, mask: bytes, shape: tuple[int, int], contract: Contract
    ) -> NDArray[np.uint8]:
        try:
            with Image.open(io.BytesIO(mask), formats=("PNG",)) as image:
                if image.mode not in _MASK_MODES:
                    raise UnreadableImageError(
                        f"The mask is a PNG of mode {image.mode}. Send one byte a pixel, gray or "
                        "indexed, whose value is the class id, as format=png answers."
                    )
                if (image.height, image.width) != shape:
                    raise InvalidOptionError(
                        f"The mask is {image.width} × {image.height} pixels, and the picture "
                        f"{shape[1]} × {shape[0]} upright. Send a mask of the picture's size."
                    )
                ids = np.asarray(image, np.uint8)
        except (UnidentifiedImageError, Image.DecompressionBombError):
            raise UnreadableImageError("The mask is not a PNG. Send a PNG of class ids.") from None
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableImageError(f"The mask does not decode: {error}.") from None
        self._check_ids(ids, contract)
        return ids

    def _check_ids(self, ids: NDArray[np.uint8], contract: Contract) -> None:
        counts = np.zeros(256, np.int64)
        for rows in bands(*ids.shape):
            counts += np.bincount(ids[rows].reshape(-1), minlength=256)
        known = {one.id for one in contract.classes}
        if contract.ignore is not None:
            known.add(contract.ignore)
        strange = [value for value in np.flatnonzero(counts).tolist() if value not in known]
        if strange:
            ignored = "" if contract.ignore is None else f", and {contract.ignore} is ignored"
            raise InvalidOptionError(
                f"The mask has the id {strange[0]} on {counts[strange[0]]} pixels; "
                f"{contract.name} has classes 0 to {len(contract.classes) - 1}{ignored}. Send ids "
                "of its classes."
            )

    def _write(
        self, contract: Contract, picture: bytes, suffix: str, ids: NDArray[np.uint8]
    ) -> Stored:
        top = self._folder / contract.name / "labeled"
        images, masks = top / "images", top / "masks"
        for place in (images, masks):
            place.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._check_classes(top / "classes.json", contract)
        name = hashlib.sha256(picture).hexdigest()[:24]
        image, mask = images / f"{name}{suffix}", masks / f"{name}.png"
        height, width = ids.shape
        rows = (ids[band] for band in bands(height, width))
        data = b"".join(write_png(height, width, GRAY, rows))
        replaced = image.exists()
        taken = sum(path.stat().st_size for path in top.rglob("*") if path.is_file())
        if not replaced:
            refuse_if_full(contract.name, taken + len(picture) + len(data), self._max_bytes)
        atomic.write_bytes(mask, data, mode=FILE_MODE)
        atomic.write_bytes(image, picture, mode=FILE_MODE)
        return Stored(name, replaced, sum(1 for path in images.iterdir() if path.name[0] != "."))

    def _check_classes(self, path: Path, contract: Contract) -> None:
        """Write the data set's classes, or find them to be the model's."""
        classes = [one.model_dump(mode="json") for one in contract.classes]
        said: dict[str, Any] = {
            "name": contract.name,
            "ignore": contract.ignore,
            "classes": classes,
        }
        if not path.exists():
            text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
            atomic.write_text(path, text, mode=FILE_MODE)
            return
        there = json.loads(path.read_text(encoding="utf-8"))
        if (there.get("classes"), there.get("ignore")) != (classes, contract.ignore):
            raise FeedbackRefusedError(
                f"The labeled pictures of {contract.name} have other classes than the version that "
                "serves now. The operator has to move them on first."
            )
