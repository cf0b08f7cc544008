"""Read every file of a data set once, and say what is wrong with it.

The one reading behind `segtrain check` and behind the first step of `segtrain train`.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.data.dataset import (
    VOID,
    Dataset,
    DatasetError,
    Issue,
    Sample,
    Severity,
    is_gray,
)
from models.data.halves import Halves
from models.data.layouts.class_files import FAULTY_CLASSES, NO_CLASSES
from models.data.layouts.regions import OUTSIDE
from models.data.names import counted
from models.data.parallel import read_ahead
from models.data.sample_examination import DRAWN, ExaminedSample, Examiner, SampleDigest
from models.data.tiles import Tile
from models.data.tones import Tones, mixed_depths

_TILES_OF_FAULTS = 24
# Fewer numbers than these in every mask may as well be classes: where two classes are known, and
# where none are.
_LEAST_OBJECTS, _LEAST_OBJECTS_OF_UNKNOWN = 4, 10
_FEW_IMAGES = 3


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
    halves: dict[str, Halves] = field(default_factory=dict)  # by split
    tones: list[Tones] = field(default_factory=list)
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
    _other_grays: list[tuple[Path, int]] = field(default_factory=list)  # a mask and its value
    # Masks of one channel by whether they hold 1 and 255 (beside 0), and the last of each.
    _binary: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    _binary_paths: dict[tuple[bool, bool], Path] = field(default_factory=dict)
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
        if self.mask_modes[DRAWN] or self._has_color_masks:
            return False
        pixels = sum((self.pixels[split] for split in self.splits), np.zeros(256, np.int64))
        return bool(pixels[1] == 0 and pixels[VOID] > 0)

    @property
    def _has_color_masks(self) -> bool:
        return any(mode.startswith("RGB") for mode in self.mask_modes)

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
        name = examined.sample.name(self.dataset.folder)
        digest = SampleDigest(name, examined.digest, examined.mask_digest)
        self.digests.setdefault(examined.split, []).append(digest)
        if examined.size is not None:
            self.sizes[examined.size] += 1
        if examined.mode is not None:
            self.modes[examined.mode] += 1
        if examined.tones is not None:
            self.tones.append(examined.tones)
        if examined.mask_mode is not None:
            self.mask_modes[examined.mask_mode] += 1
        color = (examined.mask_mode or "").startswith("RGB")
        self.mask_values.update((color, value) for value in examined.mask_values)
        self._count_mask(examined)
        if examined.digest is not None:
            # Without what is large.
            slim = replace(examined, tile=None, halves=None)
            self._holders.setdefault(examined.digest, []).append(slim)
        if examined.object_numbers is not None:
            self._object_numbers.append(examined.object_numbers)
        if examined.other_grays:
            self._other_grays.append((examined.sample.mask.path, max(examined.other_grays)))
        self._outside += any(issue.kind == OUTSIDE for issue in examined.issues)
        self._compare_palettes(examined)
        self._note_binary(examined)
        if examined.tile is not None:
            self._keep(examined.tile)

    def _count_mask(self, examined: ExaminedSample) -> None:
        split, counts = examined.split, examined.pixels_by_id
        if counts is None or examined.halves is None:
            return
        self.pixels[split] += counts
        self.files_with[split] += counts > 0
        known = counts[: len(self.dataset.class_list.classes)].sum()
        self.image_pixels_by_id[split] += (counts > 0) * known
        self.halves[split].add(examined.halves)

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
            if mine == theirs and kept.sample.window != other.sample.window:
                continue  # parts of one scene: sea looks like sea
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

    def _grays_of_classes(self) -> Iterator[str]:
        """What may be meant in two ways where masks of one channel hold the gray of a class:
        optimizers save a colour mask so that shows nothing but grays."""
        if not self._other_grays:
            return
        classes = self.dataset.class_list.classes
        seen = sum(np.count_nonzero(self.class_pixels(split)) for split in self.splits)
        if not self._has_color_masks and (seen > 1 or len(classes) == 2):
            return
        (path, value), count = self._other_grays[0], len(self._other_grays)
        gray = next(c.name for c in classes if c.rgb == (value, value, value))
        why = "others are in colour" if self._has_color_masks else "no mask holds another class"
        yield (
            f"{counted(count, 'mask')} of {self.dataset.folder}, such as {path}, "
            f"{'has' if count == 1 else 'have'} one channel, and the value {value} may be an id or "
            f"the gray of class {gray!r}, for {why}; save all masks as RGB, or all as ids"
        )

    def _note_binary(self, examined: ExaminedSample) -> None:
        counts = examined.pixels_by_id
        if examined.mask_mode == "L" and counts is not None and counts[0]:
            held = bool(counts[1]), bool(counts[VOID])
            self._binary[held] += 1
            self._binary_paths[held] = examined.sample.mask.path

    def _two_kinds_of_binary(self) -> Iterator[str]:
        """What may be meant in two ways where some masks of two classes hold 0 and 255, others 0
        and 1, and none all three."""
        only_1, only_255, both = (True, False), (False, True), (True, True)
        class_list = self.dataset.class_list
        if class_list.ignore != VOID or len(class_list.classes) != 2 or self._binary[both]:
            return
        if self._binary[only_1] and self._binary[only_255]:
            yield (
                f"{counted(self._binary[only_255], 'mask')}, such as "
                f"{self._binary_paths[only_255]}, hold 0 and 255, and "
                f"{counted(self._binary[only_1], 'other')}, such as {self._binary_paths[only_1]}, "
                f"0 and 1: 255 may be class 1 ({class_list.classes[1].name}) there, or what is "
                "ignored; save all in one way"
            )

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
        self.contradictions += self._grays_of_classes()
        self.contradictions += self._two_kinds_of_binary()
        self.issues += [Issue("error", "contradiction", text) for text in self.contradictions]
        self.issues += _missing_splits(self.dataset)
        self.issues += mixed_depths(self.tones)
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
        examination.halves[name] = Halves(len(dataset.class_list.classes))
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


def _tasks(dataset: Dataset, tiles: int) -> Iterator[tuple[str, Sample, bool]]:
    samples = [(split, sample) for split, held in dataset.splits.items() for sample in held]
    shown = {round(place) for place in np.linspace(0, len(samples) - 1, tiles)}
    for index, (split, sample) in enumerate(samples):
        yield split, sample, index in shown


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
