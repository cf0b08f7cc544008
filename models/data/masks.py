"""Masks that are image files: class ids, or colours that a palette maps to ids."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import SegmentationClass
from models.data import tiff
from models.data.dataset import (
    UNREADABLE,
    VOID,
    DatasetError,
    Issue,
    exif_transpose,
    unreadable,
)

_COLOR_MODES = ("RGB", "RGBA")
_VALUE_MODES = ("L", "LA", "1", "I")
_JPEG_IN_TIFF = ("jpeg", "tiff_jpeg", "webp")
LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})
_NEAR = 48  # how far from black or white JPEG leaves the pixels of a mask of two classes
_MOST_IN_BETWEEN = 0.02  # share of pixels, all at edges
_BLACK, _WHITE = 0, 0xFFFFFF


class UnknownColorError(DatasetError):
    """A colour mask holds a colour that stands for no class."""


class StrayValueError(DatasetError):
    """A mask holds a value that stands for no class."""


class LossyMaskError(DatasetError):
    """A mask is stored in a way that changes its values."""


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
class RawMask:
    """A mask file as it is: values or palette indices (H, W) of an integer type, or colours
    0xrrggbb uint32 (H, W).

    `colors` are those of a palette image by index. `clear` is where it is transparent (H, W), if it
    is anywhere.
    """

    pixels: NDArray[np.integer]
    mode: str
    colors: tuple[int, ...] | None = None
    clear: NDArray[np.bool_] | None = None

    @property
    def is_color(self) -> bool:
        return self.mode in _COLOR_MODES


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
        raw = _read_raw(self.path)
        for part in self.parts:
            raw = _merged(self.path, raw, part, _read_raw(part))
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
        if raw.colors is not None:
            table = self._indexed_ids(raw)
        elif self.encoding.value_ids is not None:
            table = {value: self.encoding.id_of(value) for value in _held(values)}
        else:
            return values
        return self._mapped(values, table)

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


def _read_raw(path: Path) -> RawMask:
    if path.suffix.lower() in LOSSY_SUFFIXES:
        raise LossyMaskError(
            f"{path} is stored lossily, which changes class ids; save masks as PNG "
            "(segtrain check --fix-to does, where they are black and white)"
        )
    try:
        page = tiff.read_page(path)
        with Image.open(path) as mask:
            _require_mask(path, mask, page)
            mask.load()
            raw = _raw(mask, page)
            alpha = _alpha(mask)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    return raw if alpha is None or alpha.min() == 255 else _without_alpha(path, raw, alpha)


def _require_whole_values(path: Path, mask: Image.Image) -> None:
    """Raise DatasetError where a PNG of less than 8 bits has been scaled to shades: its values may
    have been ids."""
    raw_modes = {str(tile.args) for tile in getattr(mask, "tile", ())}
    if raw_modes & {"L;2", "L;4"}:
        raise DatasetError(
            f"{path} has {raw_modes.pop()[-1]} bits a pixel, so that its values may be ids or "
            "shades of gray; save it with 8 bits (mode L)"
        )


def _require_mask(path: Path, mask: Image.Image, page: tiff.Page | None) -> None:
    """Raise DatasetError where an opened image is of no form that holds ids or classes' colours for
    certain."""
    is_mode = mask.mode in (*_VALUE_MODES, *_COLOR_MODES, "P") or mask.mode.startswith("I;16")
    if not is_mode:
        raise DatasetError(
            f"{path} is a {mask.mode} image; a mask has one channel of class ids (mode L or P), or "
            "RGB with the classes' colours"
        )
    pages = page.pages if page else getattr(mask, "n_frames", 1)
    if pages > 1:
        raise DatasetError(
            f"{path} has {pages} pages; a mask is one picture: save the page that is meant, or "
            "each page as the mask of an image of its own"
        )
    if mask.info.get("compression") in _JPEG_IN_TIFF:
        raise LossyMaskError(
            f"{path} is compressed as {mask.info['compression']}, which changes class ids; save "
            "masks as PNG"
        )
    _require_whole_values(path, mask)
    if exif_transpose(mask) is not None:
        raise DatasetError(
            f"{path} has an EXIF orientation, which some readers of masks follow and some do not; "
            "save it upright without one"
        )
    if page is not None and page.white_is_zero:
        raise DatasetError(
            f"{path} is a TIFF whose 0 is white (MinIsWhite), so that its values may be ids or "
            "their negative; save it as MinIsBlack or as PNG"
        )
    if page is not None and page.is_planar and page.samples > 1:
        raise DatasetError(
            f"{path} is a TIFF of {page.samples} channels in separate planes; save it as PNG"
        )


def _raw(mask: Image.Image, page: tiff.Page | None) -> RawMask:
    pixels = np.asarray(mask)
    if mask.mode == "P" and page is not None:
        return RawMask(pixels, mask.mode, page.palette)
    if mask.mode == "P":
        rgb = np.array(mask.getpalette("RGB") or [], np.uint32).reshape(-1, 3)
        colors = (rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]).tolist()
        return RawMask(pixels, mask.mode, tuple(colors))
    if mask.mode in _COLOR_MODES:
        wide = pixels[..., :3].astype(np.uint32)
        return RawMask(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], mask.mode)
    if mask.mode == "LA":
        return RawMask(pixels[..., 0], mask.mode)
    return RawMask(pixels.astype(np.uint8) if pixels.dtype == bool else pixels, mask.mode)


def _alpha(mask: Image.Image) -> NDArray[np.uint8] | None:
    """The alpha channel (H, W); None where there is none."""
    if mask.mode in ("RGBA", "LA"):
        return np.asarray(mask.getchannel("A"))
    clear = mask.info.get("transparency")
    if clear is None:
        return None
    pixels = np.asarray(mask)
    if isinstance(clear, bytes):  # of the first palette entries
        by_index = np.full(256, 255, np.uint8)
        by_index[: len(clear)] = np.frombuffer(clear, np.uint8)
        of_indices: NDArray[np.uint8] = by_index[pixels]
        return of_indices
    is_clear = pixels == np.array(clear)
    if is_clear.ndim == 3:
        is_clear = is_clear.all(axis=-1)
    return np.where(is_clear, 0, 255).astype(np.uint8)


def _without_alpha(path: Path, raw: RawMask, alpha: NDArray[np.uint8]) -> RawMask:
    """The mask and where it is transparent. Raises DatasetError where that says another thing than
    what lies beneath."""
    half = int(((alpha > 0) & (alpha < 255)).sum())
    if half:
        raise DatasetError(
            f"{path} is half transparent in {half} pixels, which are of a class and are not; save "
            "it without alpha or with hard edges"
        )
    clear = alpha == 0
    beneath = raw.pixels[clear]
    if raw.colors is not None:
        colors = np.zeros(256, np.int64)
        colors[: len(raw.colors)] = raw.colors
        beneath = beneath * (colors[beneath] != _BLACK)
    if beneath.any():
        raise DatasetError(
            f"{path} is transparent in {int(clear.sum())} pixels, and a class lies hidden beneath "
            f"{int((beneath != 0).sum())} of them: is it meant or not? Flatten the picture onto "
            "the background's colour, or save it without alpha"
        )
    return RawMask(raw.pixels, raw.mode, raw.colors, clear)


def _merged(path: Path, raw: RawMask, part_path: Path, part: RawMask) -> RawMask:
    """Both masks of one picture. Raises DatasetError where they are of two forms, or overlap."""
    if part.pixels.shape != raw.pixels.shape or (part.mode, part.colors) != (raw.mode, raw.colors):
        raise DatasetError(
            f"{path} and {part_path} are masks of one picture and of different sizes, modes or "
            "palettes; make one mask of them"
        )
    overlap = int(((raw.pixels != 0) & (part.pixels != 0) & (raw.pixels != part.pixels)).sum())
    if overlap:
        raise DatasetError(
            f"{path} and {part_path} are masks of one picture and say different classes in "
            f"{overlap} pixels; make one mask of them"
        )
    pixels = np.where(raw.pixels == 0, part.pixels, raw.pixels)
    return RawMask(pixels, raw.mode, raw.colors)


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
