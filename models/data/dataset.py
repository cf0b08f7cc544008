"""What a data set is, whatever its layout: classes, samples by split, and what was found wrong on the way.

Nothing here reads a pixel before it is asked for. `models.data.reading` opens a folder, `models.data.examination` reads
every file once.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.contract import SegmentationClass, UserError
from models.contract.faults import first_fault

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
VOID = 255  # in masks: no class, nothing to learn; data sets hold at most 255 classes

# What Pillow raises for files that are damaged, no images, or far too large.
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, TypeError, AttributeError, LookupError),
    *(struct.error, Image.DecompressionBombError),
)

_GRAY_MODES = ("1", "L", "LA", "I", "F")
# By EXIF's orientation: what brings a picture upright.
_EXIF_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_BITS = 258


class DatasetError(UserError):
    """Something is wrong with the data. The text names the file and says what to do."""


class ClassListError(DatasetError):
    """The class list is missing or faulty; the masks may still be readable."""


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong, or worth knowing. `kind` gathers issues of one sort; the text is a whole sentence."""

    severity: Literal["error", "warning"]
    kind: str
    text: str


class ClassList(BaseModel):
    """classes.json: what the ids in the masks mean."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    classes: Annotated[tuple[SegmentationClass, ...], Field(min_length=2, max_length=255)]
    ignore: Annotated[int, Field(ge=0, le=255)] | None = None
    task: str = "semantic segmentation"
    licence: str = "not stated"
    source: str = "not stated"

    @model_validator(mode="before")
    @classmethod
    def _license_is_licence(cls, document: Any) -> Any:
        if not isinstance(document, dict) or "license" not in document:
            return document
        if document.get("licence", document["license"]) != document["license"]:
            raise ValueError("licence and license differ; leave one of them")
        return {"licence": document["license"], **document}

    @model_validator(mode="after")
    def _ids_are_channels(self) -> Self:
        ids = [segmentation_class.id for segmentation_class in self.classes]
        if ids != list(range(len(ids))):
            raise ValueError(f"class ids must be 0, 1, … in order; got {ids}")
        names = [segmentation_class.name for segmentation_class in self.classes]
        if len(set(names)) < len(names):
            raise ValueError(f"class names must differ; got {', '.join(names)}")
        if self.ignore in ids:
            raise ValueError(
                f"ignore {self.ignore} is a class's id; take a value that is none, such as 255"
            )
        return self

    @property
    def background(self) -> int | None:
        """The id of the class that is called background, if one is."""
        return next((c.id for c in self.classes if c.name.lower() == "background"), None)


class MaskSource(Protocol):
    """Where a sample's mask comes from: a file of ids or colours, or shapes to draw."""

    @property
    def path(self) -> Path:
        """The file to name when something is wrong."""

    def read(self) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W). Safe to call from several threads. Raises DatasetError."""


@dataclass(frozen=True)
class Sample:
    """One image and where its mask comes from. Samples of one `group` never fall into two splits."""

    image: Path
    mask: MaskSource
    group: str | None = None

    def read(self, channels: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The image uint8 (H, W, channels) and the mask uint8 (H, W). Raises DatasetError."""
        return read_image(self.image, channels), self.mask.read()


@dataclass(frozen=True)
class Dataset:
    """A data set, its file names read, its pixels not. `layout` is the layout's name in `models.data.reading`."""

    folder: Path
    class_list: ClassList
    splits: Mapping[str, tuple[Sample, ...]]
    channels: int
    layout: str
    issues: tuple[Issue, ...] = ()

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of one split. Raises DatasetError where there is none of that name."""
        if not self.splits.get(name):
            share = {"val": "split.fraction", "test": "split.test"}.get(name)
            taken = f", or let {share} take them off train before a training" if share else ""
            raise DatasetError(
                f"{self.folder.name} has no split {name!r}; its splits are {', '.join(self.splits)}. "
                f"Put images into images/{name}/ and their masks into masks/{name}/{taken}"
            )
        return self.splits[name]


def relative_name(path: Path, folder: Path) -> str:
    """A file's path below the data set's folder, or where it lies elsewhere the whole."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


@dataclass(frozen=True)
class Picture:
    """A decoded image: pixels uint8 (H, W, C), upright; the file's own mode, and whether EXIF turned it."""

    pixels: NDArray[np.uint8]
    mode: str
    rotated_by_exif: bool


def read_picture(path: Path, channels: int) -> Picture:
    """Decode an image file, upright by its EXIF orientation. Raises DatasetError."""
    try:
        with Image.open(path) as image:
            rotated_by_exif = _exif_transpose(image) is not None
            image.load()  # here Pillow itself turns a TIFF
            turn = _exif_transpose(image)
            upright = image if turn is None else image.transpose(turn)
            pixels = np.asarray(_to_8_bit(upright).convert("L" if channels == 1 else "RGB"))
            mode = image.mode
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    return Picture(pixels.reshape(*pixels.shape[:2], channels), mode, rotated_by_exif)


def read_image(path: Path, channels: int) -> NDArray[np.uint8]:
    """Read an image as uint8 (H, W, channels), upright by its EXIF orientation. Raises DatasetError."""
    return read_picture(path, channels).pixels


def is_gray(mode: str) -> bool:
    """Whether an image of this Pillow mode has one channel of brightness."""
    return mode in _GRAY_MODES or mode.startswith("I;16")


def unreadable(path: Path, error: Exception) -> DatasetError:
    """The error that says a file is damaged or no image."""
    return DatasetError(f"{path} cannot be read ({error}); replace it or take it out")


def read_classes(path: Path) -> ClassList:
    """Read classes.json. Raises ClassListError."""
    try:
        return ClassList.model_validate(json.loads(path.read_text()))
    except FileNotFoundError:
        raise ClassListError(
            f'{path} is missing; it lists the classes: {{"name": "…", "ignore": null, '
            '"classes": [{"id": 0, "name": "background", "color": "#000000"}, …]}'
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ClassListError(f"{path} is not JSON: {error}") from error
    except ValidationError as error:
        raise ClassListError(f"{path}: {first_fault(error)}") from error


def _exif_transpose(image: Image.Image) -> Image.Transpose | None:
    """What its EXIF orientation asks for; None where it is upright. As viewers do, a damaged EXIF block is passed over."""
    try:
        return _EXIF_TRANSPOSES.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except UNREADABLE:
        return None


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray by its bit depth, as the service does; Pillow's own conversion clips it.

    Raises ValueError for what the service refuses too: 32-bit and floating-point pixels.
    """
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS, (16,))
        depth = int(bits[0] if isinstance(bits, tuple) else bits)
        return Image.fromarray((np.asarray(image) >> (depth - 8)).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are of 32 bits; save them with 8 or 16")
    return image
