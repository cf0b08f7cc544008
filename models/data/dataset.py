"""What a data set is, whatever its layout: classes, samples by split, and what was found wrong on
the way.

Nothing here reads a pixel before it is asked for. `models.data.reading` opens a folder,
`models.data.examination` reads every file once.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.contract import SegmentationClass, UserError
from models.contract.faults import first_fault
from models.contract.preprocessing import Intensity
from models.data import tiff
from models.data.depth import (
    BY_PERCENTILES,
    Deep,
    Depth,
    is_deep_gray_png,
    read_deep_png,
    to_8_bits,
)
from models.data.mask_size import fitted
from models.data.names import is_background, shortened
from models.data.scenes import Window, read_samples, read_scene, read_valid

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp"})
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


class DatasetError(UserError):
    """Something is wrong with the data. The text names the file and says what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(shortened(text))


class ClassListError(DatasetError):
    """The class list is missing or faulty; the masks may still be readable."""


Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong, or worth knowing. `kind` gathers issues of one sort; the text is a
    whole sentence."""

    severity: Severity
    kind: str
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", shortened(self.text))


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
                f"ignore {self.ignore} is a class's id; take a value that is none, such as 255 "
                "(where masks hold 0 for what is not labelled and count the classes from 1: "
                "--ignore 0 --shift -1, in a recipe layout.ignore and layout.shift)"
            )
        return self

    @property
    def background(self) -> int | None:
        """The id of the class that is called background, if one is."""
        return next((c.id for c in self.classes if is_background(c.name)), None)


class MaskSource(Protocol):
    """Where a sample's mask comes from: a file of ids or colours, or shapes to draw."""

    @property
    def path(self) -> Path:
        """The file to name when something is wrong."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the mask is made from."""

    def read(self) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W). Safe to call from several threads. Raises DatasetError."""

    def read_with_issues(self) -> tuple[NDArray[np.uint8], tuple[Issue, ...]]:
        """As `read`, and what is worth knowing of the way it was drawn."""


@dataclass(frozen=True)
class Sample:
    """One image and where its mask comes from. Samples of one `group` never fall into two
    splits. `intensity` is how an image deeper than 8 bits is read. `window` is the part that is
    meant of a scene on the ground (`models.data.scenes`); a whole picture has none."""

    image: Path
    mask: MaskSource
    group: str | None = None
    intensity: Intensity | None = BY_PERCENTILES
    window: Window | None = None

    def read(self, channels: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The image uint8 (H, W, channels) and the mask uint8 (H, W), which is brought to the
        image's size where it is the same picture scaled. Raises DatasetError."""
        image = self.read_image(channels)
        return image, self.without_void(fitted(self.mask.read(), *image.shape[:2]))

    def read_mask(self) -> NDArray[np.uint8]:
        """The mask alone, at its own size. Raises DatasetError."""
        return self.without_void(self.mask.read())

    def read_image(self, channels: int) -> NDArray[np.uint8]:
        """The image uint8 (H, W, channels). Raises DatasetError."""
        return self.read_picture(channels).pixels

    def read_picture(self, channels: int) -> "Picture":
        """The image with what its file says of it. Raises DatasetError."""
        if self.window is None:
            return read_picture(self.image, channels, self.intensity)
        return _read_part(self.image, self.window, channels, self.intensity)

    def without_void(self, ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Class ids (H, W) that are VOID where the scene has no picture. Raises DatasetError."""
        scene = None if self.window is None else read_scene(self.image)
        if scene is None or self.window is None or ids.shape != self.window[2:]:
            return ids
        try:
            valid = read_valid(scene, self.window)
        except UNREADABLE as error:
            raise unreadable(self.image, error) from error
        return ids if valid is None else np.where(valid, ids, np.uint8(VOID))

    @property
    def place(self) -> tuple[Path, tuple[int, ...]]:
        """What orders samples."""
        return self.image, self.window or ()

    def name(self, folder: Path) -> str:
        """Its path below the data set's folder, and which part of the scene it is."""
        own = relative_name(self.image, folder)
        return own if self.window is None else f"{own} {self.window.name}"


@dataclass(frozen=True)
class Dataset:
    """A data set, its file names read, its pixels not. `layout` is the layout's name in
    `models.data.reading`."""

    folder: Path
    class_list: ClassList
    splits: Mapping[str, tuple[Sample, ...]]
    channels: int
    layout: str
    issues: tuple[Issue, ...] = ()

    def with_intensity(self, intensity: Intensity | None) -> "Dataset":
        """The same data, whose deep images are read by another rule."""
        splits = {
            name: tuple(replace(sample, intensity=intensity) for sample in samples)
            for name, samples in self.splits.items()
        }
        return replace(self, splits=splits)

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of one split. Raises DatasetError where there is none of that name."""
        if not self.splits.get(name):
            share = {"val": "split.fraction", "test": "split.test"}.get(name)
            taken = f", or let {share} take them off train before a training" if share else ""
            taken += " (split.validation = false is to train without)" if name == "val" else ""
            raise DatasetError(
                f"{self.folder.name} has no split {name!r}; its splits are "
                f"{', '.join(self.splits)}. Put images into images/{name}/ and their masks into "
                f"masks/{name}/{taken}"
            )
        return self.splits[name]


def relative_name(path: Path, folder: Path) -> str:
    """A file's path below the data set's folder, or where it lies elsewhere the whole."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


@dataclass(frozen=True)
class Picture:
    """A decoded image: pixels uint8 (H, W, C), upright; the file's own mode, whether EXIF turned
    it, the file's pages (the first is decoded), whether some of it is transparent (the colours
    beneath are decoded), and of one deeper than 8 bits how it became that."""

    pixels: NDArray[np.uint8]
    mode: str
    rotated_by_exif: bool
    pages: int
    is_transparent: bool
    depth: Depth | None = None


def read_picture(
    path: Path, channels: int, intensity: Intensity | None = BY_PERCENTILES
) -> Picture:
    """Decode an image file, upright by its EXIF orientation; of several pages the first, and
    samples deeper than 8 bits by the rule of `intensity`. Raises DatasetError."""
    try:
        page = tiff.read_page(path)
        if page is not None and page.fault:
            raise ValueError(
                f"it {page.fault}; save it with 8 or 16 bits a channel, unsigned, or with "
                "floating-point numbers, as gray or RGB"
            )
        if page is not None and page.is_for_gdal:
            return _read_tiff_by_gdal(path, channels, page, intensity)
        png = None if page else read_deep_png(path)
        if png is not None:
            pixels, depth = to_8_bits(png.samples, 16, png.significant_bits, intensity)
            pixels, is_turned = _upright(pixels, png.orientation, channels)
            return Picture(pixels, _mode(png.samples, 16), is_turned, 1, png.is_transparent, depth)
        return _read_by_pillow(path, channels, page)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def _read_part(path: Path, window: Window, channels: int, intensity: Intensity | None) -> Picture:
    try:
        scene = read_scene(path)
        if scene is None:
            raise ValueError("it is no GeoTIFF any more")
        samples, depth = read_samples(scene, window, intensity)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    pixels, _ = _upright(samples, 1, channels)
    return Picture(pixels, scene.mode, False, 1, is_transparent=False, depth=depth)


def _read_by_pillow(path: Path, channels: int, page: tiff.Page | None) -> Picture:
    # A file and not its path: Pillow 13 maps a plain gray TIFF by its path and then turns its
    # bytes, not its pixels.
    with path.open("rb") as file, Image.open(file) as image:
        pages = page.pages if page else _frame_count(image)
        if page is not None:
            image.seek(page.place)
        rotated_by_exif = exif_transpose(image) is not None
        image.load()  # here Pillow itself turns a TIFF
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise ValueError(
                f"its pixels are in a form that is not read ({image.mode}); save them as PNG or "
                "TIFF with 8 or 16 bits"
            )
        turn = exif_transpose(image)
        upright = image if turn is None else image.transpose(turn)
        pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
        pixels = pixels.reshape(*pixels.shape[:2], channels)
        return Picture(pixels, image.mode, rotated_by_exif, pages, _is_transparent(image))


def _read_tiff_by_gdal(
    path: Path, channels: int, page: tiff.Page, intensity: Intensity | None
) -> Picture:
    stored, bits = tiff.read_samples(path, page), page.bits[0]
    if stored.dtype == np.uint8:
        samples, depth = stored.view(np.uint8), None
    else:
        deep = cast(Deep, stored)
        samples, depth = to_8_bits(deep, bits, page.significant_bits, intensity)
    pixels, is_turned = _upright(samples, page.orientation, channels)
    mode = _mode(stored, bits)
    return Picture(pixels, mode, is_turned, page.pages, is_transparent=False, depth=depth)


def _upright(
    stored: NDArray[np.uint8], orientation: int, channels: int
) -> tuple[NDArray[np.uint8], bool]:
    """Gray or RGB (H, W, 1 or 3) turned as EXIF says, in `channels`, and whether it was turned."""
    image = Image.fromarray(stored[..., 0] if stored.shape[2] == 1 else stored)
    turn = _EXIF_TRANSPOSES.get(orientation)
    upright = image if turn is None else image.transpose(turn)
    pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels), turn is not None


def _mode(samples: NDArray[np.generic], bits: int) -> str:
    return f"{'gray' if samples.shape[2] == 1 else 'RGB'} of {bits} bits"


def read_image(
    path: Path, channels: int, intensity: Intensity | None = BY_PERCENTILES
) -> NDArray[np.uint8]:
    """Read an image as uint8 (H, W, channels), upright by its EXIF orientation. Raises
    DatasetError."""
    return read_picture(path, channels, intensity).pixels


def is_gray(mode: str) -> bool:
    """Whether an image of this mode, Pillow's or a picture's, has one channel of brightness."""
    return mode in _GRAY_MODES or mode.startswith(("I;16", "gray"))


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as its EXIF orientation has it. Raises DatasetError."""
    height, width = read_picture(path, 3).pixels.shape[:2]
    return width, height


def is_gray_file(path: Path) -> bool:
    """Whether an image file has one channel of brightness, by its header alone. Raises one of
    UNREADABLE."""
    page = tiff.read_page(path)
    if page is not None:
        return page.is_gray
    with path.open("rb") as file:
        if is_deep_gray_png(file.read(33)):
            return True
    with Image.open(path) as image:
        return is_gray(image.mode)


def _frame_count(image: Image.Image) -> int:
    """The frames of an animation. A phone's JPEG of several pictures has one."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def unreadable(path: Path, error: Exception) -> DatasetError:
    """The error that says a file is damaged, no image, or of a kind that is not read."""
    return DatasetError(f"{path} cannot be read ({error}); replace it or take it out")


def read_classes(path: Path, ignore: int | None = None) -> ClassList:
    """Read classes.json; `ignore` takes the place of its own. Raises ClassListError."""
    try:
        document = json.loads(path.read_bytes())  # bytes: some editors put a byte order mark first
        if ignore is not None and isinstance(document, dict):
            document["ignore"] = ignore
        return ClassList.model_validate(document)
    except FileNotFoundError:
        raise ClassListError(
            f'{path} is missing; it lists the classes: {{"name": "…", "ignore": null, '
            '"classes": [{"id": 0, "name": "background", "color": "#000000"}, …]}'
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ClassListError(f"{path} is not JSON: {error}") from error
    except ValidationError as error:
        raise ClassListError(f"{path}: {first_fault(error)}") from error


def exif_transpose(image: Image.Image) -> Image.Transpose | None:
    """What its EXIF orientation asks for; None where it is upright. As viewers do, a damaged EXIF
    block is passed over."""
    try:
        return _EXIF_TRANSPOSES.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except UNREADABLE:
        return None


def _is_transparent(image: Image.Image) -> bool:
    """Whether a loaded image has a pixel that is not opaque."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.mode in ("RGBA", "LA") and bool(np.asarray(image.getchannel("A")).min() < 255)
