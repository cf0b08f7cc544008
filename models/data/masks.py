"""Masks that are image files: class ids, or colours that a palette maps to ids."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import SegmentationClass
from models.data.dataset import UNREADABLE, VOID, DatasetError, Issue, unreadable
from models.data.mask_files import LOSSY_SUFFIXES, RawMask, merged, read_mask_file

_NEAR = 48  # how far from black or white JPEG leaves the pixels of a mask of two classes
_MOST_IN_BETWEEN = 0.02  # share of pixels, all at edges
WHITE = 0xFFFFFF


class UnknownColorError(DatasetError):
    """A colour mask holds a colour that stands for no class."""


class StrayValueError(DatasetError):
    """A mask holds a value that stands for no class."""


@dataclass(frozen=True)
class Palette:
    """Colours as 0xrrggbb, ascending, and the id of each."""

    colors: tuple[int, ...]
    ids: tuple[int, ...]

    @classmethod
    def of(cls, entries: Iterable[tuple[tuple[int, int, int], int]]) -> "Palette":
        """Make a palette of (rgb, id) entries. Raises DatasetError where a colour stands for two
        ids."""
        known: dict[int, int] = {}
        for (red, green, blue), class_id in entries:
            color = red << 16 | green << 8 | blue
            if known.setdefault(color, class_id) != class_id:
                raise DatasetError(
                    f"the colour #{color:06x} stands for class {known[color]} and class "
                    f"{class_id}; give each class its own"
                )
        ordered = sorted(known)
        return cls(tuple(ordered), tuple(known[color] for color in ordered))

    @cached_property
    def id_of(self) -> Mapping[int, int]:
        """The id of each colour."""
        return dict(zip(self.colors, self.ids, strict=True))

    def ids_of(self, path: Path, colors: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Map colours 0xrrggbb (H, W) to ids uint8 (H, W). Raises UnknownColorError that names the
        file."""
        known = np.array(self.colors, np.uint32)
        place = np.searchsorted(known, colors).clip(max=len(known) - 1)
        unknown = colors[known[place] != colors]
        if unknown.size:
            values, counts = np.unique(unknown, return_counts=True)
            most = int(counts.argmax())
            raise UnknownColorError(
                f"{path} holds {len(values)} colours of no class in {unknown.size} pixels, most of "
                f"them #{values[most]:06x} ({counts[most]} pixels); add the colour to a class, or "
                "fix the mask"
            )
        ids: NDArray[np.uint8] = np.array(self.ids, np.uint8)[place]
        return ids


def class_palette(
    classes: Iterable[SegmentationClass], void: Mapping[tuple[int, int, int], int]
) -> Palette | None:
    """The palette of the classes' own colours, and of `void` ones with their id; None where two
    classes share one, so that a colour says nothing."""
    entries = [(c.rgb, c.id) for c in classes]
    taken = {rgb for rgb, _ in entries}
    if len(taken) < len(entries):
        return None
    return Palette.of([*entries, *((rgb, key) for rgb, key in void.items() if rgb not in taken)])


@dataclass(frozen=True)
class MaskEncoding:
    """How the mask files of a data set say classes.

    `ids` are those that a mask may hold, what is ignored among them; none where the classes are not
    known. `value_ids` has the id of each value 0–255, None for those that stand for nothing; where
    it is not set a value is its own id.
    """

    palette: Palette | None = None
    ids: frozenset[int] = frozenset()
    background: int | None = None
    value_ids: tuple[int | None, ...] | None = None

    def id_of(self, value: int) -> int | None:
        """The id that a value stands for."""
        if self.value_ids is not None:
            return self.value_ids[value]
        return value if not self.ids or value in self.ids else None


@dataclass(frozen=True)
class FileMask:
    """A mask in an image file: values are ids, colours go through the palette.

    An indexed image is read by its colours where they are the classes' (or grays equal to ids),
    else by its indices. `parts` are further files of the same picture, merged where they do not
    overlap.
    """

    path: Path
    encoding: MaskEncoding = field(default_factory=MaskEncoding)
    parts: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, *self.parts)

    def read(self) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W). Raises DatasetError."""
        return self.ids(self.read_raw())

    def read_with_issues(self) -> tuple[NDArray[np.uint8], tuple[Issue, ...]]:
        """As `read`; a file has no issues beside its errors."""
        return self.read(), ()

    @property
    def is_lossy(self) -> bool:
        """Whether its format changes values, as JPEG does."""
        return self.path.suffix.lower() in LOSSY_SUFFIXES

    def read_raw(self) -> RawMask:
        """The file's own values. Raises DatasetError where it is damaged or no mask, or where its
        parts overlap."""
        raw = read_mask_file(self.path)
        for part in self.parts:
            raw = merged(self.path, raw, part, read_mask_file(part))
        return raw

    def read_black_and_white(self) -> NDArray[np.uint8] | None:
        """A lossy mask cut at half brightness: 0 and 1 uint8 (H, W); None where too much of it is
        in between.

        Raises DatasetError where it is damaged.
        """
        try:
            with Image.open(self.path) as mask:
                gray = np.asarray(mask.convert("L"))
        except UNREADABLE as error:
            raise unreadable(self.path, error) from error
        between = np.mean((gray >= _NEAR) & (gray <= 255 - _NEAR))
        return None if between > _MOST_IN_BETWEEN else (gray >= 128).astype(np.uint8)

    def ids(self, raw: RawMask) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W) of what `read_raw` gave. Raises DatasetError."""
        if raw.is_color:
            if self.encoding.palette is None:
                raise UnknownColorError(
                    f"{self.path} is a {raw.mode} image and no palette says what its colours mean; "
                    "give each class its color in classes.json, or save one channel of class ids"
                )
            ids = self.encoding.palette.ids_of(self.path, raw.pixels.astype(np.uint32, copy=False))
        else:
            ids = self._ids_of_values(raw)
        if raw.clear is not None:
            self._require_background(ids[raw.clear])
        return ids

    def index_colors(self, raw: RawMask) -> Mapping[int, int]:
        """The colour of each index that an indexed image holds, where the index is what counts and
        the colours tell classes apart: other files must not have them at other indices."""
        used = _used(raw)
        if raw.colors is None or len(set(used.values())) < len(used):
            return {}
        if self.encoding.ids and all(color == index * 0x010101 for index, color in used.items()):
            return {}
        by_index = {index: self.encoding.id_of(index) for index in held_values(raw)}
        return used if self._indexed_ids(raw) == by_index else {}

    def _ids_of_values(self, raw: RawMask) -> NDArray[np.uint8]:
        beyond = int(((raw.pixels > VOID) | (raw.pixels < 0)).sum())
        if beyond:
            raise DatasetError(
                f"{self.path} holds values beyond 255 in {beyond} pixels; class ids are 0 to 254"
            )
        values = raw.pixels.astype(np.uint8, copy=False)
        if raw.mode == "1" and self._white_is_void and values.any():
            raise DatasetError(
                f"{self.path} has one bit a pixel, and its white may be class 1 or 255, which is "
                "ignored; save it with 8 bits (mode L)"
            )
        if raw.mode == "1":
            self._require_black_and_white_as_ids(raw)
        self._require_data(raw)
        if raw.colors is not None:
            table = self._indexed_ids(raw)
        elif self.encoding.value_ids is not None:
            table = {value: self.encoding.id_of(value) for value in _held(values)}
        else:
            return values
        return self._mapped(values, table)

    def _require_black_and_white_as_ids(self, raw: RawMask) -> None:
        """Raise DatasetError where the black or white of one bit a pixel is the colour of another
        class than 0 or 1."""
        known = self.encoding.palette.id_of if self.encoding.palette else {}
        for value, color, name in ((0, 0, "black"), (1, WHITE, "white")):
            other = known.get(color)
            if other not in (None, self.encoding.id_of(value)) and (raw.pixels == value).any():
                raise DatasetError(
                    f"{self.path} has one bit a pixel, and its {name} may be class {value} or "
                    f"class {other}, whose colour is {name}; save it with 8 bits (mode L)"
                )

    def _require_data(self, raw: RawMask) -> None:
        """Raise DatasetError where the value that the header calls no data is a class's."""
        value = raw.no_data
        if value is None or not 0 <= value < VOID or not self.encoding.ids:
            return
        class_id, count = self.encoding.id_of(value), int((raw.pixels == value).sum())
        if count and class_id not in (None, VOID):
            raise DatasetError(
                f"{self.path} says in its header that {value} is no data (GDAL_NODATA), and holds "
                f"it in {count} pixels, which may be nothing or class {class_id}; write 255 where "
                "nothing is, or take no data out of the header (gdal_edit.py -unsetnodata)"
            )

    def other_grays(self, raw: RawMask) -> frozenset[int]:
        """The values of a mask of one channel whose gray is the colour of another class than the
        one of that id: they may be ids, or a colour mask that an optimizer made gray."""
        if raw.mode not in ("L", "LA") or self.encoding.palette is None:
            return frozenset()
        known = self.encoding.palette.id_of
        meant = {value: self.encoding.id_of(value) for value in held_values(raw)}
        return frozenset(
            value
            for value, class_id in meant.items()
            if class_id is not None and known.get(value * 0x010101, class_id) != class_id
        )

    def _mapped(
        self, values: NDArray[np.uint8], table: Mapping[int, int | None]
    ) -> NDArray[np.uint8]:
        """The ids by a table of values; without `value_ids` a value of no id stays, for the
        examination to tell of."""
        lut = np.arange(256, dtype=np.uint8)
        for value, class_id in table.items():
            if class_id is not None:
                lut[value] = class_id
            elif self.encoding.value_ids is not None:
                count = int((values == value).sum())
                meant = [v for v, i in enumerate(self.encoding.value_ids) if i is not None]
                raise StrayValueError(
                    f"{self.path} holds the value {value} in {count} pixels, which stands for no "
                    f"class (those that do: {_ranges(meant)}); fix the mask, or say --ignore and "
                    "--shift otherwise"
                )
        ids: NDArray[np.uint8] = lut[values]
        return ids

    def _indexed_ids(self, raw: RawMask) -> dict[int, int | None]:
        """The id of each index that an indexed image holds. Raises DatasetError where its palette
        can be meant in two ways."""
        used = _used(raw)
        by_index = {index: self.encoding.id_of(index) for index in held_values(raw)}
        says_nothing = len(used) > 1 and len(set(used.values())) == 1
        if not used or not self.encoding.ids or says_nothing or _is_ramp(raw.colors or ()):
            return by_index
        known = self.encoding.palette.id_of if self.encoding.palette else {}
        by_color = {index: known[color] for index, color in used.items() if color in known}
        moved = [index for index, class_id in by_color.items() if class_id != by_index[index]]
        if len(by_color) < len(used):
            by_gray = self._by_grays(used)
            if moved and not by_gray:
                self._refuse_part(used, by_color, moved[0])
            return by_index | by_gray
        if not moved:
            return by_index
        if len(set(used.values())) < len(used):
            raise DatasetError(
                f"{self.path} is an indexed image that has one colour at two indices, that of "
                f"class {by_color[moved[0]]} at {moved[0]} too; save it as one channel of class "
                "ids (mode L), or give each class its own colour in the palette"
            )
        colors = dict(enumerate(raw.colors or ()))
        return by_index | {index: known[color] for index, color in colors.items() if color in known}

    def _refuse_part(
        self, used: Mapping[int, int], by_color: Mapping[int, int], index: int
    ) -> None:
        other = min(used.keys() - by_color.keys())
        raise DatasetError(
            f"{self.path} is an indexed image whose palette fits the classes in part: the index "
            f"{index} has the colour #{used[index]:06x} of class {by_color[index]}, the index "
            f"{other} the colour #{used[other]:06x} of none; save it as one channel of class ids "
            "(mode L), or with the classes' colours"
        )

    def _by_grays(self, used: Mapping[int, int]) -> dict[int, int]:
        """The ids by grays that are equal to ids, which other tools put at other indices; none
        where the palette has other colours."""
        grays = {index: color & 0xFF for index, color in used.items() if color % 0x010101 == 0}
        if len(grays) < len(used) or all(gray == index for index, gray in grays.items()):
            return {}
        if {*grays.values()} <= {0, VOID}:
            self._require_black_before_white(grays)
            return {}
        ids = {index: self.encoding.id_of(gray) for index, gray in grays.items()}
        known = {index: class_id for index, class_id in ids.items() if class_id is not None}
        return known if len(known) == len(used) == len({*grays.values()}) else {}

    def _require_black_before_white(self, grays: Mapping[int, int]) -> None:
        """Black at 0 and white at 1 are the two classes. Raises DatasetError where they may be
        meant otherwise."""
        if grays.items() <= {0: 0, 1: VOID}.items() and not self._white_is_void:
            return
        raise DatasetError(
            f"{self.path} is an indexed image of black and white, and its indices or its colours "
            f"may be meant ({', '.join(f'{index} is {gray}' for index, gray in grays.items())}); "
            "save it as one channel of class ids (mode L)"
        )

    @property
    def _white_is_void(self) -> bool:
        """Whether white, as the value 255, may be what is ignored and not the second of two
        classes."""
        return VOID in self.encoding.ids and len(self.encoding.ids) > 3

    def _require_background(self, ids: NDArray[np.uint8]) -> None:
        """Raise DatasetError where transparent pixels have another class than background."""
        encoding = self.encoding
        if not encoding.ids or ids.size == 0:
            return
        nothing = {encoding.background, *(encoding.ids & {VOID})} - {None}
        other = set(np.unique(ids).tolist()) - nothing
        if other:
            raise DatasetError(
                f"{self.path} is transparent in {ids.size} pixels, and what lies beneath is class "
                f"{min(other)}, not background; flatten it, or save it without alpha"
            )


def held_values(raw: RawMask) -> list[int]:
    """The values that a mask of one byte a pixel holds, ascending."""
    return _held(raw.pixels.astype(np.uint8, copy=False))


def voc_color(index: int) -> tuple[int, int, int]:
    """The colour of PASCAL VOC's colour map: the index's bits, three at a time, from the highest
    bit of each channel."""
    red = green = blue = 0
    for shift in range(8):
        red |= (index >> 3 * shift & 1) << (7 - shift)
        green |= (index >> 3 * shift + 1 & 1) << (7 - shift)
        blue |= (index >> 3 * shift + 2 & 1) << (7 - shift)
    return red, green, blue


VOC_VOID = voc_color(VOID)  # the border around VOC's objects


def hex_color(rgb: tuple[int, int, int]) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _is_ramp(colors: Sequence[int]) -> bool:
    """Whether each index has the gray of its own number, as a palette that nobody made."""
    return len(colors) > 1 and all(color == n * 0x010101 for n, color in enumerate(colors))


def _used(raw: RawMask) -> dict[int, int]:
    """The colour of each index that an indexed image shows; those beyond its palette have none."""
    if raw.colors is None:
        return {}
    shown = raw.pixels if raw.clear is None or raw.clear.all() else raw.pixels[~raw.clear]
    indices = _held(shown.astype(np.uint8, copy=False))
    return {index: raw.colors[index] for index in indices if index < len(raw.colors)}


def _held(values: NDArray[np.uint8]) -> list[int]:
    held: list[int] = np.flatnonzero(np.bincount(values.ravel(), minlength=256)).tolist()
    return held


def _ranges(values: list[int]) -> str:
    """Ascending numbers in words: 0 to 3, 255."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(f"{run[0]} to {run[-1]}" if run[1:] else str(run[0]) for run in runs)
