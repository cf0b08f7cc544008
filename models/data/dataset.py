"""A dataset folder: `images/<split>/`, `masks/<split>/` (same stem, PNG of class ids) and `classes.json`."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from tqdm import tqdm

from models.contract import SegmentationClass

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})


# What Pillow raises for files that are damaged, no images, or far too large.
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class DatasetError(Exception):
    """Something is wrong with the data. The text names the file and says what to do."""


class ClassList(BaseModel):
    """classes.json: what the ids in the masks mean."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    classes: Annotated[tuple[SegmentationClass, ...], Field(min_length=2, max_length=255)]
    ignore: Annotated[int, Field(ge=0, le=255)] | None = None
    task: str = "semantic segmentation"
    licence: str = "not stated"
    source: str = "not stated"

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


@dataclass(frozen=True)
class Sample:
    """One image and its mask, as paths."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, its file names read, its pixels not."""

    folder: Path
    class_list: ClassList
    splits: Mapping[str, tuple[Sample, ...]]
    channels: int

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of one split. Raises DatasetError where there is none of that name."""
        if not self.splits.get(name):
            raise DatasetError(
                f"{self.folder.name} has no split {name!r}; its splits are {', '.join(self.splits)}. "
                f"Put images into images/{name}/ and their masks into masks/{name}/"
            )
        return self.splits[name]


def read_dataset(folder: Path) -> Dataset:
    """Read a dataset's classes and file names. Raises DatasetError."""
    class_list = _read_classes(folder / "classes.json")
    splits = {
        path.name: _pair(path, folder / "masks" / path.name)
        for path in sorted((folder / "images").glob("*"))
        if path.is_dir()
    }
    if not any(splits.values()):
        raise DatasetError(
            f"{folder} has no images; they belong in images/train/, images/val/ and images/test/, "
            "each with its mask of the same stem in masks/train/ and so on"
        )
    first = next(samples[0] for samples in splits.values() if samples)
    try:
        with Image.open(first.image) as image:
            channels = 1 if image.mode in ("1", "L", "I;16", "I", "F") else 3
    except _UNREADABLE as error:
        raise _unreadable(first.image, error) from error
    return Dataset(folder, class_list, splits, channels)


def read_image(path: Path, channels: int) -> NDArray[np.uint8]:
    """Read an image as uint8 (H, W, channels), upright by its EXIF orientation. Raises DatasetError."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            pixels = np.asarray(_eight_bit(upright).convert("L" if channels == 1 else "RGB"))
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    return pixels.reshape(*pixels.shape[:2], channels)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask as class ids uint8 (H, W); of a palette image the indices, not the colours. Raises DatasetError."""
    try:
        with Image.open(path) as mask:
            if mask.mode not in ("L", "P", "1"):
                raise DatasetError(
                    f"{path} is a {mask.mode} image; a mask has one channel of class ids (mode L or P)"
                )
            ids = np.asarray(mask)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    return ids.astype(np.uint8)


def class_pixels(dataset: Dataset, split: str) -> NDArray[np.int64]:
    """Count the pixels of each class in a split (classes,), and read every image and mask on the way.

    Raises DatasetError at a file that cannot be read, a mask of another size than its image, and a value in it that is
    neither a class nor ignored.
    """
    samples = dataset.split(split)
    with ThreadPoolExecutor() as pool:
        counts = tqdm(
            pool.map(lambda sample: _checked_counts(sample, dataset), samples),
            desc=f"check {split}",
            total=len(samples),
            unit="mask",
            disable=None,
        )
        total: NDArray[np.int64] = np.sum(list(counts), axis=0)
    return total[: len(dataset.class_list.classes)]


def _unreadable(path: Path, error: Exception) -> DatasetError:
    return DatasetError(f"{path} cannot be read ({error}); replace it or take it out")


def _read_classes(path: Path) -> ClassList:
    try:
        return ClassList.model_validate(json.loads(path.read_text()))
    except FileNotFoundError:
        raise DatasetError(
            f'{path} is missing; it lists the classes: {{"name": "…", "ignore": null, '
            '"classes": [{"id": 0, "name": "background", "color": "#000000"}, …]}'
        ) from None
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise DatasetError(f"{path}: {place}: {fault['msg']}") from error


def _pair(images: Path, masks: Path) -> tuple[Sample, ...]:
    samples = []
    for image in sorted(images.iterdir()):
        if image.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        mask = masks / f"{image.stem}.png"
        if not mask.is_file():
            raise DatasetError(
                f"{image} has no mask; expected {mask}. Add the mask or take the image out"
            )
        samples.append(Sample(image, mask))
    return tuple(samples)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray by its bit depth, as the service does; Pillow's own conversion clips it."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image


def _checked_counts(sample: Sample, dataset: Dataset) -> NDArray[np.int64]:
    mask = read_mask(sample.mask)
    height, width, _ = read_image(sample.image, dataset.channels).shape
    if mask.shape != (height, width):
        raise DatasetError(
            f"{sample.mask} is {mask.shape[1]}×{mask.shape[0]} pixels and its image {width}×{height}; "
            "make the mask again at the image's size"
        )
    counts = np.bincount(mask.ravel(), minlength=256)
    classes = len(dataset.class_list.classes)
    allowed = {*range(classes), dataset.class_list.ignore}
    stray = [int(value) for value in np.flatnonzero(counts) if value not in allowed]
    if stray:
        raise DatasetError(
            f"{sample.mask} holds the value {stray[0]} in {counts[stray[0]]} pixels, which is no class of classes.json "
            f"(ids 0 to {classes - 1}, ignore {dataset.class_list.ignore}); add the class, set ignore, or mend the mask"
        )
    return counts
