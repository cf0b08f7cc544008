"""Masks that are image files: class ids, or colours that a palette maps to ids."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import SegmentationClass
from models.data.dataset import UNREADABLE, VOID, DatasetError, unreadable

_ID_MODES = ("L", "P", "1", "I", "I;16")
_COLOR_MODES = ("RGB", "RGBA")
LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})
_NEAR = 48  # how far from black or white JPEG leaves the pixels of a mask of two classes
_MOST_IN_BETWEEN = 0.02  # share of pixels, all at edges


class UnknownColorError(DatasetError):
    """A colour mask holds a colour that stands for no class."""


class LossyMaskError(DatasetError):
    """A mask is stored in a way that changes its values."""


@dataclass(frozen=True)
class Palette:
    """Colours as 0xrrggbb, ascending, and the id of each."""

    colors: tuple[int, ...]
    ids: tuple[int, ...]

    @classmethod
    def of(cls, entries: Iterable[tuple[tuple[int, int, int], int]]) -> "Palette":
        """Make a palette of (rgb, id) entries. Raises DatasetError where a colour stands for two ids."""
        known: dict[int, int] = {}
        for (red, green, blue), class_id in entries:
            color = red << 16 | green << 8 | blue
            if known.setdefault(color, class_id) != class_id:
                raise DatasetError(
                    f"the colour #{color:06x} stands for class {known[color]} and class {class_id}; "
                    "give each class its own"
                )
        ordered = sorted(known)
        return cls(tuple(ordered), tuple(known[color] for color in ordered))

    def ids_of(self, path: Path, colors: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Map colours 0xrrggbb (H, W) to ids uint8 (H, W). Raises UnknownColourError that names the file."""
        known = np.array(self.colors, np.uint32)
        place = np.searchsorted(known, colors).clip(max=len(known) - 1)
        unknown = colors[known[place] != colors]
        if unknown.size:
            values, counts = np.unique(unknown, return_counts=True)
            most = int(counts.argmax())
            raise UnknownColorError(
                f"{path} holds {len(values)} colours of no class in {unknown.size} pixels, most of them "
                f"#{values[most]:06x} ({counts[most]} pixels); add the colour to a class, or fix the mask"
            )
        ids: NDArray[np.uint8] = np.array(self.ids, np.uint8)[place]
        return ids


def class_palette(classes: Iterable[SegmentationClass]) -> Palette | None:
    """The palette of the classes' own colours; None where two share one, so that a colour says nothing."""
    entries = [(c.rgb, c.id) for c in classes]
    if len({rgb for rgb, _ in entries}) < len(entries):
        return None
    return Palette.of(entries)


@dataclass(frozen=True)
class RawMask:
    """A mask file as it is: ids (H, W) of an integer type, or colours 0xrrggbb uint32 (H, W)."""

    pixels: NDArray[np.integer]
    mode: str

    @property
    def is_color(self) -> bool:
        return self.mode in _COLOR_MODES


@dataclass(frozen=True)
class FileMask:
    """A mask in an image file. Of a palette image the indices are the ids; RGB pixels go through `palette`."""

    path: Path
    palette: Palette | None = None

    def read(self) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W). Raises DatasetError."""
        return self.ids(self.read_raw())

    @property
    def is_lossy(self) -> bool:
        """Whether its format changes values, as JPEG does."""
        return self.path.suffix.lower() in LOSSY_SUFFIXES

    def read_raw(self) -> RawMask:
        """The file's own values. Raises DatasetError where it is damaged or no mask."""
        if self.is_lossy:
            raise LossyMaskError(
                f"{self.path} is stored lossily, which changes class ids; save masks as PNG "
                "(segtrain check --fix-to does, where they are black and white)"
            )
        try:
            with Image.open(self.path) as mask:
                if mask.mode not in (*_ID_MODES, *_COLOR_MODES):
                    raise DatasetError(
                        f"{self.path} is a {mask.mode} image; a mask has one channel of class ids "
                        "(mode L or P), or RGB with the classes' colours"
                    )
                pixels, mode = np.asarray(mask), mask.mode
        except UNREADABLE as error:
            raise unreadable(self.path, error) from error
        if pixels.ndim == 2:
            return RawMask(pixels.astype(np.uint8) if pixels.dtype == bool else pixels, mode)
        wide = pixels[..., :3].astype(np.uint32)
        return RawMask(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], mode)

    def read_black_and_white(self) -> NDArray[np.uint8] | None:
        """A lossy mask cut at half brightness: 0 and 1 uint8 (H, W); None where too much of it is in between.

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
            if self.palette is None:
                raise UnknownColorError(
                    f"{self.path} is a {raw.mode} image and no palette says what its colours mean; "
                    "give each class its color in classes.json, or save one channel of class ids"
                )
            return self.palette.ids_of(self.path, raw.pixels.astype(np.uint32, copy=False))
        if raw.pixels.dtype != np.uint8 and (
            raw.pixels.max(initial=0) > VOID or raw.pixels.min(initial=0) < 0
        ):
            beyond = int(((raw.pixels > VOID) | (raw.pixels < 0)).sum())
            raise DatasetError(
                f"{self.path} holds values beyond 255 in {beyond} pixels; class ids are 0 to 254"
            )
        return raw.pixels.astype(np.uint8, copy=False)


def voc_color(index: int) -> tuple[int, int, int]:
    """The colour of PASCAL VOC's colour map: the index's bits, three at a time, from the highest bit of each channel."""
    red = green = blue = 0
    for shift in range(8):
        red |= (index >> 3 * shift & 1) << (7 - shift)
        green |= (index >> 3 * shift + 1 & 1) << (7 - shift)
        blue |= (index >> 3 * shift + 2 & 1) << (7 - shift)
    return red, green, blue


def hex_color(rgb: tuple[int, int, int]) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)
