"""Read every file of a data set once, and say what is wrong with it.

The one reading behind `segtrain check` and behind the first step of `segtrain train`.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.data.dataset import (
    VOID,
    ClassList,
    Dataset,
    DatasetError,
    Issue,
    MaskSource,
    Picture,
    Sample,
    Severity,
    is_gray,
    read_picture,
    relative_name,
)
from models.data.layouts.class_files import FAULTY_CLASSES, NO_CLASSES
from models.data.layouts.regions import OUTSIDE
from models.data.masks import (
    FileMask,
    LossyMaskError,
    RawMask,
    StrayValueError,
    UnknownColorError,
)
from models.data.names import counted
from models.data.objects import object_numbers
from models.data.parallel import read_ahead
from models.data.tiles import Tile, draw_tile

_TILES_OF_FAULTS = 24
_COLORS_KEPT = 256
_STRAY_VALUES_SAID = 5
_COUNTED_FROM_1 = (
    ". Ids begin at 0: where these masks count classes from 1, say --shift -1, and "
    "--ignore 0 where 0 is what is not labelled"
)
DRAWN = "drawn"  # in place of a mode
# Fewer numbers than these in every mask may as well be classes: where two classes are known, and
# where none are.
_LEAST_OBJECTS, _LEAST_OBJECTS_OF_UNKNOWN = 4, 10
_FEW_IMAGES = 3
WHITE = 0xFFFFFF


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
    pixels_by_id: NDArray[np.int64] | None = None  # (256,)
    mask_values: frozenset[int] = frozenset()  # what the file holds: ids, or colours 0xrrggbb
    tile: Tile | None = None


@dataclass
class Examination:
    """What the files of a data set hold. Grows by `add`; keeps no pixels but those of its tiles."""

    dataset: Dataset
    splits: tuple[str, ...]
    issues: list[Issue] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    mask_modes: Counter[str] = field(default_factory=Counter)
    mask_values: Counter[tuple[bool, int]] = field(
        default_factory=Counter
    )  # (colour?, value): files
    pixels: dict[str, NDArray[np.int64]] = field(default_factory=dict)  # (256,) a split
    files_with: dict[str, NDArray[np.int64]] = field(default_factory=dict)  # (256,) a split
    image_pixels_by_id: dict[str, NDArray[np.int64]] = field(
        default_factory=dict
    )  # (256,) a split: those with a class in the files that hold the value
    tiles: list[Tile] = field(default_factory=list)
    # in their split; of a picture that another split keeps
    copies: set[tuple[str, Sample]] = field(default_factory=set)
    # in their split; of one file that has another mask too
    contested: set[tuple[str, Sample]] = field(default_factory=set)
    digests: dict[str, list[SampleDigest]] = field(default_factory=dict)  # by split, in its order
    # What may be meant in two ways as a whole, so that no copy can be written.
    contradictions: list[str] = field(default_factory=list)
    _holders: dict[str, list[ExaminedSample]] = field(default_factory=dict)
    _color_of_index: dict[int, tuple[int, Sample]] = field(default_factory=dict)
    _index_of_color: dict[int, tuple[int, Sample]] = field(default_factory=dict)
    _object_numbers: list[int] = field(default_factory=list)
    _outside: int = 0  # masks most of whose regions lie outside their pictures
    _fault_tiles: int = 0

    def class_pixels(self, split: str) -> NDArray[np.int64]:
        """Pixels of each class in a split (classes,)."""
        return self.pixels[split][: len(self.dataset.class_list.classes)]

    def image_pixels(self, split: str) -> NDArray[np.int64]:
        """Pixels, void left out, of the images that hold each class in a split (classes,)."""
        return self.image_pixels_by_id[split][: len(self.dataset.class_list.classes)]

    @property
    def errors(self) -> list[Issue]:
        return [issue for issue in self.issues if issue.severity == "error"]

    @property
    def warnings(self) -> list[Issue]:
        return [issue for issue in self.issues if issue.severity == "warning"]

    @property
    def classes_are_known(self) -> bool:
        """Whether the data set says what its classes are; where not, two stand in."""
        unknown = (NO_CLASSES, FAULTY_CLASSES)
        return not any(issue.kind in unknown for issue in self.dataset.issues)

    @property
    def faulty_classes(self) -> str | None:
        """What is wrong with the data set's own class list; None where it is right, or where there
        is none."""
        texts = (issue.text for issue in self.dataset.issues if issue.kind == FAULTY_CLASSES)
        return next(texts, None)

    @property
    def ignores_its_foreground(self) -> bool:
        """Whether masks of two classes hold 255 and never 1, and 255 is what classes.json
        ignores."""
        class_list = self.dataset.class_list
        if not self.classes_are_known or class_list.ignore != VOID or len(class_list.classes) != 2:
            return False
        if self.mask_modes[DRAWN]:
            return False
        pixels = sum((self.pixels[split] for split in self.splits), np.zeros(256, np.int64))
        return bool(pixels[1] == 0 and pixels[VOID] > 0)

    @property
    def numbers_objects(self) -> bool:
        """Whether masks look as if each number were an object, where two classes are known or
        none."""
        if self.classes_are_known and len(self.dataset.class_list.classes) != 2:
            return False
        least = _LEAST_OBJECTS if self.classes_are_known else _LEAST_OBJECTS_OF_UNKNOWN
        numbers = self._object_numbers
        return bool(numbers) and min(numbers) > 0 and max(numbers) >= least

    def raise_on_error(self) -> None:
        """Raise DatasetError with the first error, if there is one."""
        if self.errors:
            more = len(self.errors) - 1
            rest = f" ({more} more: segtrain check {self.dataset.folder})" if more else ""
            raise DatasetError(self.errors[0].text + rest)

    def add(self, examined: ExaminedSample) -> None:
        self.issues += examined.issues
        name = relative_name(examined.sample.image, self.dataset.folder)
        digest = SampleDigest(name, examined.digest, examined.mask_digest)
        self.digests.setdefault(examined.split, []).append(digest)
        if examined.size is not None:
            self.sizes[examined.size] += 1
        if examined.mode is not None:
            self.modes[examined.mode] += 1
        if examined.mask_mode is not None:
            self.mask_modes[examined.mask_mode] += 1
        color = (examined.mask_mode or "").startswith("RGB")
        self.mask_values.update((color, value) for value in examined.mask_values)
        if examined.pixels_by_id is not None:
            self.pixels[examined.split] += examined.pixels_by_id
            self.files_with[examined.split] += examined.pixels_by_id > 0
            known = examined.pixels_by_id[: len(self.dataset.class_list.classes)].sum()
            self.image_pixels_by_id[examined.split] += (examined.pixels_by_id > 0) * known
        if examined.digest is not None:
            # Without its tile, which is large.
            self._holders.setdefault(examined.digest, []).append(replace(examined, tile=None))
        if examined.object_numbers is not None:
            self._object_numbers.append(examined.object_numbers)
        self._outside += any(issue.kind == OUTSIDE for issue in examined.issues)
        self._compare_palettes(examined)
        if examined.tile is not None:
            self._keep(examined.tile)

    def _compare_palettes(self, examined: ExaminedSample) -> None:
        """Note where an indexed mask has another colour at an index than a mask before, or a colour
        at another index."""
        sample = examined.sample
        for index, color in examined.index_colors.items():
            own_color, first = self._color_of_index.setdefault(index, (color, sample))
            own_index, other = self._index_of_color.setdefault(color, (index, sample))
            if own_color != color or own_index != index:
                before = first if own_color != color else other
                had = (
                    f"#{own_color:06x} at {index}"
                    if own_color != color
                    else f"#{color:06x} at {own_index}"
                )
                self.contradictions.append(
                    f"{sample.mask.path} is an indexed image with the colour #{color:06x} at index "
                    f"{index}, and {before.mask.path} has {had}: neither indices nor colours mean "
                    "the same in both; give the classes the palette's colours in classes.json, or "
                    "save the masks as one channel of class ids (mode L)"
                )
                return

    def _compare(self, holders: Sequence[ExaminedSample]) -> None:
        """Tell of samples with one picture. The last split keeps it: test before val, val before
        train."""
        *others, kept = holders
        for other in others:
            mine, theirs = kept.sample.image, other.sample.image
            if other.split != kept.split:
                self.copies.add((other.split, other.sample))
                text = (
                    f"{mine} in {kept.split} is the same picture as {theirs} in {other.split}, "
                    f"which makes scores too good; take it out of {other.split}"
                )
                self.issues.append(Issue("error", "same picture in two splits", text))
            elif kept.mask_digest == other.mask_digest:
                text = f"{mine} is the same picture as {theirs}"
                self.issues.append(Issue("warning", "same picture twice", text))
            else:
                text = (
                    f"{mine} is the same picture as {theirs}, and their masks differ; leave "
                    "the one that is right"
                )
                is_one_file = mine.resolve() == theirs.resolve()
                severity: Severity = "error" if is_one_file else "warning"
                self.issues.append(Issue(severity, "two masks of one picture", text))
                if is_one_file:
                    both = (kept, other)
                    self.contested.update((one.split, one.sample) for one in both)

    def _keep(self, tile: Tile) -> None:
        if tile.fault is not None:
            self._fault_tiles += 1
            if self._fault_tiles > _TILES_OF_FAULTS:
                return
        self.tiles.append(tile)

    def finish(self) -> None:
        """Add what only the whole shows: pictures that are there twice, splits and classes that are
        missing, images of another kind than the rest."""
        for holders in self._holders.values():
            if any(holder.split in self.splits for holder in holders):
                self._compare(holders)
        drawn = self.mask_modes[DRAWN]
        if 2 * self._outside > drawn > 0:
            self.contradictions.append(
                f"{self.dataset.folder}: in {self._outside} of {drawn} pictures most regions lie "
                "outside the picture; it looks as if the pictures had been made smaller after "
                "labelling: export the annotations again for their present sizes"
            )
        one_bit = self.mask_modes["1"]
        if self.dataset.class_list.ignore == VOID and 0 < one_bit < self.mask_modes.total():
            self.contradictions.append(
                f"{counted(one_bit, 'mask')} of {self.dataset.folder} have one bit a pixel and the "
                "others more, so that white may be class 1 or 255, which is ignored; save them all "
                "with 8 bits (mode L)"
            )
        self.issues += [Issue("error", "contradiction", text) for text in self.contradictions]
        self.issues += _missing_splits(self.dataset)
        if self.numbers_objects:
            text = (
                f"the masks in {self.dataset.folder} look as if each number were one object (up to "
                f"{max(self._object_numbers)} in one), as Cellpose and StarDist write them; "
                "segtrain check --fix-to makes every number above 0 one class"
            )
            self.issues.append(Issue("error", "numbered objects", text))
        elif self.ignores_its_foreground:
            name = self.dataset.class_list.classes[1].name
            text = (
                f"no mask in {self.dataset.folder} holds class 1 ({name}), and 255 is ignored: "
                "these look like 0/255 masks, whose 255 "
                'is to be 1. segtrain check --fix-to writes them so, with "ignore": null'
            )
            self.issues.append(Issue("error", "0/255 mask", text))
        elif self.classes_are_known:
            self.issues += _absent_classes(self)
        gray = sum(count for mode, count in self.modes.items() if is_gray(mode))
        if 0 < gray < self.modes.total():
            text = (
                f"{gray} of {self.modes.total()} images are gray and the others in colour; all are "
                "read as RGB, which is right where the model is to see both"
            )
            self.issues.append(Issue("warning", "mixed images", text))


def examine(dataset: Dataset, splits: Collection[str] | None = None, tiles: int = 0) -> Examination:
    """Read every image and mask of the splits (default: all) once, in parallel; of other splits the
    images alone, to find those that the splits have too.

    `tiles` samples, evenly spread, and those with faults are drawn for a contact sheet; 0 draws
    none. Raises DatasetError where a split is not there, and nothing for a fault in a file: it is
    among the issues.
    """
    names = tuple(dataset.splits if splits is None else splits)
    for name in names:
        dataset.split(name)
    examination = Examination(dataset, names, list(dataset.issues))
    for name in names:
        examination.pixels[name] = np.zeros(256, np.int64)
        examination.files_with[name] = np.zeros(256, np.int64)
        examination.image_pixels_by_id[name] = np.zeros(256, np.int64)
    examiner = Examiner(dataset, names, examination.classes_are_known, tiles > 0)
    tasks = list(_tasks(dataset, tiles))
    with tqdm(
        read_ahead(lambda task: examiner(*task), tasks),
        desc=f"check {dataset.folder.resolve().name}",
        total=len(tasks),
        unit="image",
        disable=None,
    ) as progress:
        for examined in progress:
            examination.add(examined)
    examination.finish()
    return examination


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
            picture = read_picture(sample.image, self._dataset.channels)
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
            object_numbers=self._object_numbers(raw),
            pixels_by_id=None if ids is None else np.bincount(ids.ravel(), minlength=256),
            mask_values=frozenset() if self._classes_are_known else _held(sample, raw),
            tile=self._tile(split, sample, picture, ids, issues, chosen),
        )

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
            picture = read_picture(sample.image, self._dataset.channels)
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


def _tasks(dataset: Dataset, tiles: int) -> Iterator[tuple[str, Sample, bool]]:
    samples = [(split, sample) for split, held in dataset.splits.items() for sample in held]
    shown = {round(place) for place in np.linspace(0, len(samples) - 1, tiles)}
    for index, (split, sample) in enumerate(samples):
        yield split, sample, index in shown


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


def _missing_splits(dataset: Dataset) -> Iterator[Issue]:
    """Warnings about a split that training needs and that is not there, or hardly."""
    missing = [split for split in ("train", "val") if not dataset.splits.get(split)]
    if missing:
        text = f"{dataset.folder} has no {' and no '.join(missing)} split, which training needs"
        yield Issue("warning", "no split", text)
    few = len(dataset.splits.get("val", ()))
    if 0 < few < _FEW_IMAGES:
        text = (
            f"val of {dataset.folder} has {counted(few, 'image')} to choose the epoch by, which is "
            "few for a sure choice; --split 0.25 takes a quarter of the images where the folder "
            "has no val of its own"
        )
        yield Issue("warning", "small val", text)


def _absent_classes(examination: Examination) -> Iterator[Issue]:
    for split in examination.splits:
        absent = [
            segmentation_class.name
            for segmentation_class in examination.dataset.class_list.classes
            if examination.pixels[split][segmentation_class.id] == 0
        ]
        if len(absent) == len(examination.dataset.class_list.classes):
            if examination.pixels[split].any():
                text = (
                    f"every pixel of every mask of {split} is ignored; masks of classes are needed"
                )
                yield Issue("error", "nothing but ignored", text)
        elif absent:
            what = "cannot be learned" if split == "train" else "has no score there"
            yield Issue(
                "warning",
                "absent class",
                f"{', '.join(absent)}: in no mask of {split}, so that it {what}",
            )
