"""Read one sample of a data set, and say what is wrong with it."""

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import (
    VOID,
    ClassList,
    Dataset,
    DatasetError,
    Issue,
    MaskSource,
    Picture,
    Sample,
)
from models.data.georeference import displacement
from models.data.halves import halves_of, parts_of
from models.data.mask_files import LossyMaskError, RawMask
from models.data.mask_size import fitted, is_scaled
from models.data.masks import WHITE, FileMask, StrayValueError, UnknownColorError
from models.data.objects import object_numbers
from models.data.tiles import Tile, draw_tile
from models.data.tones import Tones, tones_of

_COLORS_KEPT = 256
_STRAY_VALUES_SAID = 5
_COUNTED_FROM_1 = (
    ". Ids begin at 0: where these masks count classes from 1, say --shift -1, and "
    "--ignore 0 where 0 is what is not labelled"
)
DRAWN = "drawn"  # in place of a mode


@dataclass(frozen=True)
class SampleDigest:
    """What a sample is known again by: its image's path below the data set, and digests of what its
    pixels and class ids are. None where they could not be read, or were not asked for."""

    name: str
    picture: str | None
    mask: str | None


@dataclass(frozen=True)
class ExaminedSample:
    """One sample, read. What could not be read is None."""

    split: str
    sample: Sample
    issues: tuple[Issue, ...]
    size: tuple[int, int] | None = None  # width, height; upright
    mode: str | None = None
    mask_mode: str | None = None
    digest: str | None = None  # of the decoded pixels
    mask_digest: str | None = None  # of the class ids
    index_colors: Mapping[int, int] = field(default_factory=dict)  # of an indexed mask
    object_numbers: int | None = None  # see models.data.objects
    other_grays: frozenset[int] = frozenset()  # see models.data.masks
    pixels_by_id: NDArray[np.int64] | None = None  # (256,)
    halves: NDArray[np.int64] | None = None  # (4, classes), see models.data.halves
    mask_values: frozenset[int] = frozenset()  # what the file holds: ids, or colours 0xrrggbb
    tones: Tones | None = None
    tile: Tile | None = None


class Examiner:
    """Reads one sample and compares it with its data set. Safe to call from several threads."""

    def __init__(
        self, dataset: Dataset, splits: Collection[str], classes_are_known: bool, draws: bool
    ) -> None:
        self._dataset = dataset
        self._splits = splits
        self._classes_are_known = classes_are_known
        self._draws = draws

    def __call__(self, split: str, sample: Sample, chosen: bool) -> ExaminedSample:
        if split not in self._splits:
            return self._to_compare(split, sample)
        issues: list[Issue] = []
        try:
            picture = sample.read_picture(self._dataset.channels)
            issues += _picture_remarks(sample, picture)
        except DatasetError as error:
            picture = None
            issues.append(Issue("error", "unreadable image", str(error)))
        raw, ids = self._mask(sample, issues)
        if ids is not None and self._classes_are_known:
            issues += _value_faults(sample, ids, self._dataset.class_list)
        if picture is not None:
            mask = raw.pixels if raw else ids
            issues += (
                () if mask is None else _shape_faults(sample, picture, mask.shape, raw is None)
            )
            moved = displacement(sample.image, sample.mask.path) if raw is not None else None
            if moved is not None:
                text = f"{sample.mask.path} {moved}; cut both to one extent and one grid"
                issues.append(Issue("error", "mask of another place", text))
            if ids is not None and raw is not None:
                ids = fitted(ids, *picture.pixels.shape[:2])
            if ids is not None:
                ids = sample.without_void(ids)
        parts = None if ids is None else parts_of(ids)
        classes = len(self._dataset.class_list.classes)
        return ExaminedSample(
            split,
            sample,
            tuple(issues),
            size=(picture.pixels.shape[1], picture.pixels.shape[0]) if picture else None,
            mode=picture.mode if picture else None,
            mask_mode=raw.mode if raw else (DRAWN if ids is not None else None),
            digest=_digest(picture.pixels) if picture else None,
            mask_digest=None if ids is None else _digest(ids),
            index_colors=self._index_colors(sample.mask, raw) if ids is not None else {},
            other_grays=_other_grays(sample.mask, raw),
            object_numbers=self._object_numbers(raw),
            pixels_by_id=None if parts is None else parts.sum(axis=(0, 1)),
            halves=None if parts is None else halves_of(parts, classes),
            mask_values=frozenset() if self._classes_are_known else _held(sample, raw),
            tones=self._tones(split, sample, picture),
            tile=self._tile(split, sample, picture, ids, issues, chosen),
        )

    def _tones(self, split: str, sample: Sample, picture: Picture | None) -> Tones | None:
        name = sample.name(self._dataset.folder)
        return tones_of(name, split, picture) if picture else None

    def _index_colors(self, mask: MaskSource, raw: RawMask | None) -> Mapping[int, int]:
        return mask.index_colors(raw) if raw is not None and isinstance(mask, FileMask) else {}

    def _object_numbers(self, raw: RawMask | None) -> int | None:
        class_list = self._dataset.class_list
        may_number = not self._classes_are_known or len(class_list.classes) == 2
        if raw is None or raw.is_color or not may_number:
            return None
        return object_numbers(raw.pixels, class_list.ignore)

    def _to_compare(self, split: str, sample: Sample) -> ExaminedSample:
        """The digest alone, where the image can be read."""
        with contextlib.suppress(DatasetError):
            picture = sample.read_picture(self._dataset.channels)
            return ExaminedSample(split, sample, (), digest=_digest(picture.pixels))
        return ExaminedSample(split, sample, ())

    def _mask(
        self, sample: Sample, issues: list[Issue]
    ) -> tuple[RawMask | None, NDArray[np.uint8] | None]:
        """The mask as its file has it, and as class ids; None for what cannot be had, and an issue
        that says why."""
        raw = None
        try:
            if not isinstance(sample.mask, FileMask):
                ids, found = sample.mask.read_with_issues()
                issues += found
                return None, ids
            raw = sample.mask.read_raw()
            return raw, sample.mask.ids(raw)
        except LossyMaskError as error:
            issues.append(Issue("error", "lossy mask", str(error)))
        except StrayValueError as error:
            issues.append(Issue("error", "stray value", str(error)))
        except UnknownColorError as error:
            if self._classes_are_known:
                issues.append(_color_fault(sample, raw, str(error), self._dataset.class_list))
        except DatasetError as error:
            issues.append(Issue("error", "unreadable mask", str(error)))
        return raw, None

    def _tile(
        self,
        split: str,
        sample: Sample,
        picture: Picture | None,
        ids: NDArray[np.uint8] | None,
        issues: Sequence[Issue],
        chosen: bool,
    ) -> Tile | None:
        if not self._draws or picture is None or not (chosen or issues):
            return None
        return draw_tile(
            f"{split}/{sample.image.name}",
            picture.pixels,
            ids,
            self._dataset.class_list.classes,
            issues[0].text if issues else None,
        )


def _other_grays(mask: MaskSource, raw: RawMask | None) -> frozenset[int]:
    if raw is None or not isinstance(mask, FileMask):
        return frozenset()
    return mask.other_grays(raw)


def _value_faults(sample: Sample, ids: NDArray[np.uint8], class_list: ClassList) -> Iterator[Issue]:
    counts = np.bincount(ids.ravel(), minlength=256)
    classes = len(class_list.classes)
    stray = [
        value for value in np.flatnonzero(counts).tolist() if value not in allowed_ids(class_list)
    ]
    if stray == [VOID] and classes == 2 and counts[1] == 0:
        yield Issue(
            "error",
            "0/255 mask",
            f"{sample.mask.path} is a 0/255 mask: {counts[VOID]} pixels of 255, where class 1 "
            f"({class_list.classes[1].name}) is to be 1; segtrain check --fix-to writes it so",
        )
    elif stray:
        said = [f"{value} in {counts[value]} pixels" for value in stray[:_STRAY_VALUES_SAID]]
        if more := stray[_STRAY_VALUES_SAID:]:
            said.append(f"{len(more)} more in {counts[more].sum()} pixels")
        held = ", ".join(said)
        yield Issue(
            "error",
            "stray value",
            f"{sample.mask.path} holds the value{'s' if stray[1:] else ''} {held}, where "
            f"classes.json has no such class (ids 0 to {classes - 1}, {_ignored(class_list)}); add "
            "the class, set ignore, or fix the mask"
            + (_COUNTED_FROM_1 if stray == [classes] else ""),
        )


def _picture_remarks(sample: Sample, picture: Picture) -> Iterator[Issue]:
    if picture.pages > 1:
        text = (
            f"{sample.image} has {picture.pages} pages, of which the first is read; save the "
            "others as images of their own"
        )
        yield Issue("warning", "several pages", text)
    if picture.is_transparent:
        text = (
            f"{sample.image} is transparent in places; what is read there are the colours "
            "beneath, as the service does"
        )
        yield Issue("warning", "transparent image", text)


def _shape_faults(
    sample: Sample, picture: Picture, mask: tuple[int, ...], is_drawn: bool
) -> Iterator[Issue]:
    """What is wrong with the size of a mask (H, W), and what EXIF has to do with it."""
    image, source = sample.image, sample.mask.path
    height, width = picture.pixels.shape[:2]
    if picture.rotated_by_exif and mask == (width, height) != (height, width):
        text = (
            f"{image} is {width}×{height} as its EXIF orientation turns it, and {source} states "
            f"{height}×{width}, which it is unturned: its regions may be of either. State "
            f"{width}×{height} where they fit the picture as viewers show it; where they do not, "
            "draw them on that, or save the picture without an orientation"
            if is_drawn
            else f"{image} is turned by its EXIF orientation and {source} fits it unturned; turn "
            "the mask, or take the orientation out of the image"
        )
        yield Issue("error", "mask of the unturned picture", text)
        return
    if picture.rotated_by_exif:
        what = "regions have" if is_drawn else "mask has"
        text = f"{image} is turned by its EXIF orientation; its {what} to be of the upright picture"
        yield Issue("warning", "turned by EXIF", text)
    if mask != (height, width):
        factor = mask[1] / width
        if not is_drawn and is_scaled(mask, (height, width)):
            text = (
                f"{source} is its picture {image.name} at {factor:.3g} times the size, "
                f"{mask[1]}×{mask[0]} pixels of {width}×{height}; each pixel gets the class of the "
                "nearest"
            )
            yield Issue("warning", "scaled mask", text)
            return
        size, own = f"{mask[1]}×{mask[0]}", f"{width}×{height}"
        text = (
            f"{source} states {size} pixels and its image {image.name} has {own}; where it was "
            "resized after labelling, export the annotations again for its present size"
            if is_drawn
            else f"{source} is {size} pixels and its image {own}; make the mask again at the "
            "image's size"
        )
        yield Issue("error", "other size", text)


def _color_fault(sample: Sample, raw: RawMask | None, text: str, class_list: ClassList) -> Issue:
    if raw is not None and len(class_list.classes) == 2 and is_black_and_white(raw):
        white = class_list.classes[1].name
        text = (
            f"{sample.mask.path} is black and white, as {raw.mode}, where ids are to be 0 and 1 "
            f"({white}) in one channel; "
        ) + (
            'if white is not what is ignored, set "ignore": null in classes.json, and segtrain '
            "check --fix-to writes it so"
            if class_list.ignore == VOID
            else "segtrain check --fix-to writes it so"
        )
        return Issue("error", "0/255 mask", text)
    if raw is not None and is_gray_in_color(raw, allowed_ids(class_list)):
        text = (
            f"{sample.mask.path} holds class ids three times over, as {raw.mode}; save one channel "
            "(mode L), as segtrain check --fix-to does"
        )
        return Issue("error", "ids in RGB", text)
    return Issue("error", "unknown colour", text)


def is_gray_in_color(raw: RawMask, allowed: Collection[int]) -> bool:
    """Whether a colour mask holds `allowed` ids three times over."""
    values = _values(raw)
    return all(value % 0x10101 == 0 and value // 0x10101 in allowed for value in values)


def is_black_and_white(raw: RawMask) -> bool:
    """Whether a colour mask holds black and white alone."""
    return _values(raw) in ({0, WHITE}, {WHITE})


def allowed_ids(class_list: ClassList) -> set[int]:
    """The values that masks may hold: the classes' ids, and what is ignored."""
    ids = set(range(len(class_list.classes)))
    return ids if class_list.ignore is None else {*ids, class_list.ignore}


def _ignored(class_list: ClassList) -> str:
    return "nothing ignored" if class_list.ignore is None else f"{class_list.ignore} ignored"


def _held(sample: Sample, raw: RawMask | None) -> frozenset[int]:
    """The values a mask holds; of a lossy one those it was saved from, where that can be told."""
    if raw is not None:
        return _values(raw)
    if isinstance(sample.mask, FileMask) and sample.mask.is_lossy:
        with contextlib.suppress(DatasetError):
            if sample.mask.read_black_and_white() is not None:
                return frozenset((0, VOID))
    return frozenset()


def _values(raw: RawMask) -> frozenset[int]:
    """The values or colours a mask holds; of a picture with very many, some."""
    values = np.unique(raw.pixels)
    return frozenset(values[:_COLORS_KEPT].tolist())


def _digest(pixels: NDArray[np.uint8]) -> str:
    shape = repr(pixels.shape).encode()
    whole = np.ascontiguousarray(pixels).data
    return hashlib.blake2b(whole, digest_size=16, key=shape).hexdigest()
