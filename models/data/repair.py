"""The mapping that repairs a data set's masks, and the clean copy it gives. Never in place.

<folder>/images/<split>/  masks/<split>/ (PNG of class ids)  classes.json
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from models.contract import SegmentationClass, atomic
from models.data.dataset import VOID, ClassList, DatasetError, Sample
from models.data.examination import Examination
from models.data.georeference import displacement
from models.data.layouts.layout import make_class_list
from models.data.mask_files import RawMask
from models.data.mask_size import fitted
from models.data.masks import WHITE, FileMask, Palette, class_palette, hex_color
from models.data.objects import objects_as_one
from models.data.parallel import read_ahead
from models.data.sample_examination import allowed_ids, is_black_and_white, is_gray_in_color

_BLACK_AND_WHITE = {0: 0, VOID: 1}
_LONGEST_NAME_BYTES = 240  # a file system's 255, less a suffix
# Questions about the whole set: a copy would answer them by chance.
_UNSETTLED = frozenset({"two layouts", "two splits", "shared mask"})
_MOST_CLASSES = 64  # more values than these are a picture, not a mask


@dataclass(frozen=True)
class Repair:
    """What the values and colours of masks become. `lines` says it: (in the file, class id,
    class)."""

    class_list: ClassList
    values: dict[int, int]  # for masks that hold no other value
    palette: Palette | None
    numbers_objects: bool = False  # every number above 0 is class 1

    @property
    def lines(self) -> list[tuple[str, int | str, str]]:
        names = {c.id: c.name for c in self.class_list.classes}
        seen = [(str(value), class_id) for value, class_id in sorted(self.values.items())]
        if self.palette is not None:
            pairs = zip(self.palette.colors, self.palette.ids, strict=True)
            seen += [(f"#{color:06x}", class_id) for color, class_id in pairs]
        if self.numbers_objects:
            seen = [("0", 0), ("1 and above", 1)]
        return [(text, class_id, names.get(class_id, "ignored")) for text, class_id in seen]

    def ids(self, mask: FileMask) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W) of a mask file, repaired where it needs it. Raises
        DatasetError."""
        if mask.is_lossy and self.values == _BLACK_AND_WHITE:
            cut = mask.read_black_and_white()
            if cut is not None:
                return cut
        raw = mask.read_raw()
        if raw.is_color:
            return self._ids_of_colors(mask, raw)
        if self.numbers_objects:
            return objects_as_one(raw.pixels, self.class_list.ignore)
        if raw.colors is not None and mask.encoding.ids:
            return mask.ids(raw)  # by its palette
        if raw.pixels.min(initial=0) >= 0 and raw.pixels.max(initial=0) <= VOID:
            held = np.flatnonzero(np.bincount(raw.pixels.ravel(), minlength=256)).tolist()
            if self.values.keys() >= set(held):
                table = np.zeros(256, np.uint8)
                table[list(self.values)] = list(self.values.values())
                repaired: NDArray[np.uint8] = table[raw.pixels]
                return repaired
        return mask.ids(raw)

    def _ids_of_colors(self, mask: FileMask, raw: RawMask) -> NDArray[np.uint8]:
        if len(self.class_list.classes) == 2 and is_black_and_white(raw):
            if self.values != _BLACK_AND_WHITE:
                raise DatasetError(
                    f"{mask.path} is black and white, and 255 is what classes.json ignores"
                )
            white: NDArray[np.uint8] = (raw.pixels != 0).astype(np.uint8)
            return white
        if is_gray_in_color(raw, allowed_ids(self.class_list)):
            return (raw.pixels & 0xFF).astype(np.uint8)
        encoding = mask.encoding
        if self.palette is not None and encoding.palette is None:
            encoding = replace(encoding, palette=self.palette)
        return replace(mask, encoding=encoding).ids(raw)


def suggest_repair(examination: Examination) -> Repair | None:
    """The repair that an examination suggests; None where nothing can be guessed."""
    class_list = examination.dataset.class_list
    if examination.faulty_classes:
        return None
    if examination.classes_are_known:
        if examination.ignores_its_foreground:
            class_list = class_list.model_copy(update={"ignore": None})
        binary = len(class_list.classes) == 2 and class_list.ignore != VOID
        values = _BLACK_AND_WHITE if binary else {}
        palette = class_palette(class_list.classes, {})
        return Repair(class_list, values, palette, examination.numbers_objects)
    name = examination.dataset.folder.resolve().name
    if examination.numbers_objects:
        class_list = make_class_list(name, ["background", "object"], "not stated")
        return Repair(class_list, {}, None, numbers_objects=True)
    values_held = sorted(value for color, value in examination.mask_values if not color)
    files = examination.mask_values.most_common()
    colors = [value for (is_color, value), _ in files if is_color]
    if colors and values_held:  # some masks have one channel, some three
        black_and_white = {*colors} <= {0, WHITE} and {*values_held} <= {0, VOID}
        return _value_repair(name, (0, VOID)) if black_and_white else None
    if colors:
        return _color_repair(name, colors)
    return _value_repair(name, values_held)


def _value_repair(name: str, values: Sequence[int]) -> Repair | None:
    classes = [value for value in values if value != VOID]
    if classes == list(range(len(classes))) and len(classes) > 1:  # ids already; 255 is void
        names = [f"class {class_id}" for class_id in classes]
        identity = {value: value for value in values}
        return Repair(make_class_list(name, names, "not stated"), identity, None)
    if not 2 <= len(values) <= _MOST_CLASSES or values[-1] > VOID:
        return None
    names = ["background", "foreground"] if len(values) == 2 else [f"value {v}" for v in values]
    class_list = make_class_list(name, names, "not stated")
    return Repair(class_list, {value: class_id for class_id, value in enumerate(values)}, None)


def _color_repair(name: str, colors: Sequence[int]) -> Repair | None:
    """Black first, as the background; then the colours of the most masks."""
    if not 2 <= len(colors) <= _MOST_CLASSES:
        return None
    ordered = sorted(colors, key=lambda color: color != 0)
    rgb = [(color >> 16, color >> 8 & 0xFF, color & 0xFF) for color in ordered]
    classes = tuple(
        SegmentationClass(
            id=index,
            name="background" if color == (0, 0, 0) else f"colour {hex_color(color)}",
            color=hex_color(color),
        )
        for index, color in enumerate(rgb)
    )
    palette = Palette.of((color, index) for index, color in enumerate(rgb))
    return Repair(ClassList(name=name, classes=classes, ignore=VOID), {}, palette)


def write_repaired(examination: Examination, repair: Repair, target: Path) -> tuple[int, list[str]]:
    """Write the repaired data set as a new folder: the number of images written, and what was left
    out and why.

    Images are copied as they are, those turned by EXIF written upright as PNG. A picture that
    several splits hold stays in the last of them. The folder appears whole. Raises DatasetError
    where it is there already, and where the data contradict themselves.
    """
    if target.exists():
        raise DatasetError(f"{target} is there already; --fix-to writes a new folder only")
    unsettled = [issue.text for issue in examination.errors if issue.kind in _UNSETTLED]
    if open_questions := [*examination.contradictions, *unsettled]:
        raise DatasetError(f"{open_questions[0]} ({target} was not written)")
    with atomic.new_folder(target) as folder:
        writer = _Writer(examination, repair, folder)
        writer.make_folders()
        tasks = list(_with_unique_stems(examination))
        progress = tqdm(
            read_ahead(lambda task: writer(*task), tasks),
            desc=f"write {target.name}",
            total=len(tasks),
            unit="image",
            disable=None,
        )
        left_out = [reason for reason in progress if reason is not None]
        if len(left_out) == len(tasks):
            reasons = left_out or [issue.text for issue in examination.issues]
            raise DatasetError(
                f"nothing could be repaired, so {target} was not written: {reasons[0]}"
            )
    return len(tasks) - len(left_out), left_out


class _Writer:
    """Writes one sample. Safe to call from several threads."""

    def __init__(self, examination: Examination, repair: Repair, folder: Path) -> None:
        self._examination = examination
        self._repair = repair
        self._folder = folder
        self._allowed = allowed_ids(repair.class_list)

    def make_folders(self) -> None:
        for split in self._examination.splits:
            for part in ("images", "masks"):
                (self._folder / part / split).mkdir(parents=True)
        text = self._repair.class_list.model_dump_json(indent=2) + "\n"
        (self._folder / "classes.json").write_text(text)

    def __call__(self, split: str, sample: Sample, stem: str) -> str | None:
        """Write the sample; give the reason where it was left out."""
        if (split, sample) in self._examination.copies:
            return f"{sample.image}: another split keeps the same picture"
        if (split, sample) in self._examination.contested:
            return f"{sample.image}: it has two masks that differ"
        try:
            picture = sample.read_picture(self._examination.dataset.channels)
            ids = (
                self._repair.ids(sample.mask)
                if isinstance(sample.mask, FileMask)
                else sample.mask.read()
            )
        except DatasetError as error:
            return str(error)
        if isinstance(sample.mask, FileMask):
            ids = fitted(ids, *picture.pixels.shape[:2])
            if moved := displacement(sample.image, sample.mask.path):
                return f"{sample.mask.path} {moved}"
        ids = sample.without_void(ids)
        if ids.shape != picture.pixels.shape[:2]:
            return f"{sample.mask.path} has another size than its image"
        stray = (
            set(np.flatnonzero(np.bincount(ids.ravel(), minlength=256)).tolist()) - self._allowed
        )
        if stray:
            return f"{sample.mask.path} holds the value {min(stray)}, which is no class"
        Image.fromarray(ids).save(self._folder / "masks" / split / f"{stem}.png")
        if picture.rotated_by_exif or sample.window is not None:
            pixels = picture.pixels[..., 0] if picture.pixels.shape[-1] == 1 else picture.pixels
            Image.fromarray(pixels).save(self._folder / "images" / split / f"{stem}.png")
        else:
            name = stem + sample.image.suffix
            shutil.copyfile(sample.image, self._folder / "images" / split / name)
        return None


def _with_unique_stems(examination: Examination) -> Iterator[tuple[str, Sample, str]]:
    """Each sample with a stem that no other of its split has."""
    for split in examination.splits:
        taken: set[str] = set()
        for sample in examination.dataset.splits[split]:
            stem, number = sample.image.stem, 1
            while stem in taken:
                number += 1
                ending = f"_{number}"
                stem = (
                    _shortened(f"{sample.image.parent.name}_{sample.image.stem}", ending) + ending
                )
            taken.add(stem)
            yield split, sample, stem


def _shortened(name: str, ending: str) -> str:
    """The name's beginning, short enough for a file of that ending and a suffix."""
    room = _LONGEST_NAME_BYTES - len(ending)
    return name.encode()[:room].decode(errors="ignore")
