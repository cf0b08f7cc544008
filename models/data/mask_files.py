"""Mask files as they are: values, indices of a palette or colours, before anything is made of
them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data import tiff
from models.data.dataset import UNREADABLE, DatasetError, exif_transpose, unreadable
from models.data.depth import read_deep_png

_COLOR_MODES = ("RGB", "RGBA")
_VALUE_MODES = ("L", "LA", "1", "I")
_JPEG_IN_TIFF = ("jpeg", "tiff_jpeg", "webp")
_LOSSY_FORMATS = ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF", "HEIF")  # Pillow's names
LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})
_BLACK = 0
_SAID_TWICE = 257  # 16 bits whose upper and lower 8 are the same


class LossyMaskError(DatasetError):
    """A mask is stored in a way that changes its values."""


@dataclass(frozen=True)
class RawMask:
    """A mask file as it is: values or palette indices (H, W) of an integer type, or colours
    0xrrggbb uint32 (H, W).

    `colors` are those of a palette image by index. `clear` is where it is transparent (H, W), if it
    is anywhere. `no_data` is the value that the file's header calls so.
    """

    pixels: NDArray[np.integer]
    mode: str
    colors: tuple[int, ...] | None = None
    clear: NDArray[np.bool_] | None = None
    no_data: int | None = None

    @property
    def is_color(self) -> bool:
        return self.mode in _COLOR_MODES


def are_versions(same: int, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> bool:
    """Whether two masks of one picture look like one, drawn twice: `same` pixels of one class are
    most of what either draws (H, W), and not all of both."""
    counts = int(first.sum()), int(second.sum())
    return same > min(counts) / 2 and not same == counts[0] == counts[1]


def read_mask_file(path: Path) -> RawMask:
    if path.suffix.lower() in LOSSY_SUFFIXES:
        raise LossyMaskError(
            f"{path} is stored lossily, which changes class ids; save masks as PNG "
            "(segtrain check --fix-to does, where they are black and white)"
        )
    try:
        page = tiff.read_page(path)
        with Image.open(path) as mask:
            if mask.format in _LOSSY_FORMATS:
                raise LossyMaskError(
                    f"{path} is a {mask.format} file by its content, which changes class ids, "
                    "whatever it is called; save masks as PNG from what they were drawn with"
                )
            _require_mask(path, mask, page)
            if mask.mode in (*_COLOR_MODES, "LA"):
                _require_8_bits(path, page)
            mask.load()
            raw = _raw(mask, page)
            alpha = _alpha(mask)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    return raw if alpha is None or alpha.min() == 255 else _without_alpha(path, raw, alpha)


def _require_whole_values(path: Path, mask: Image.Image, page: tiff.Page | None) -> None:
    """Raise DatasetError where less than 8 bits of gray have been scaled to shades: the values may
    have been ids."""
    bits = page.bits[0] if page is not None and page.is_gray else 8
    raw_modes = {str(tile.args) for tile in getattr(mask, "tile", ())}
    if raw_modes & {"L;2", "L;4"}:
        bits = int(raw_modes.pop()[-1])
    if 1 < bits < 8:
        raise DatasetError(
            f"{path} has {bits} bits a pixel, so that its values may be ids or shades of gray; "
            "save it with 8 bits (mode L)"
        )


def _require_8_bits(path: Path, page: tiff.Page | None) -> None:
    """Raise DatasetError where samples of 16 bits are not 8 bits said twice: Pillow gives the upper
    8 of them, which are 0 where a tool put values of 8 bits into 16."""
    if page is not None and page.bits[0] > 8:
        samples = tiff.read_samples(path, page) if page.fault is None else None
    else:
        png = read_deep_png(path)
        if png is None:
            return
        samples = png.samples
    if samples is None or (samples % _SAID_TWICE).any():
        raise DatasetError(
            f"{path} has 16 bits a channel, and values that 8 bits do not have, so that it is not "
            "sure which ids or colours are meant; save it with 8 bits a channel"
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
    _require_whole_values(path, mask, page)
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
    if page is not None and page.is_gray and page.samples > 1 and mask.mode != "LA":
        raise DatasetError(
            f"{path} is a TIFF of {page.samples} bands; a mask has one: save the one of class ids"
        )
    if page is not None and page.is_planar and page.samples > 1:
        raise DatasetError(
            f"{path} is a TIFF of {page.samples} channels in separate planes; save it as PNG"
        )


def _raw(mask: Image.Image, page: tiff.Page | None) -> RawMask:
    pixels = np.asarray(mask)
    if mask.mode == "P" and page is not None:
        return RawMask(pixels, mask.mode, page.palette, no_data=page.no_data)
    if mask.mode == "P":
        rgb = np.array(mask.getpalette("RGB") or [], np.uint32).reshape(-1, 3)
        colors = (rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]).tolist()
        return RawMask(pixels, mask.mode, tuple(colors))
    if mask.mode in _COLOR_MODES:
        wide = pixels[..., :3].astype(np.uint32)
        return RawMask(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], mask.mode)
    if mask.mode == "LA":
        return RawMask(pixels[..., 0], mask.mode)
    values = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    return RawMask(values, mask.mode, no_data=page.no_data if page else None)


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
    return replace(raw, clear=clear)


def merged(path: Path, raw: RawMask, part_path: Path, part: RawMask) -> RawMask:
    """Both masks of one picture. Raises DatasetError where they are of two forms, or overlap."""
    if part.pixels.shape != raw.pixels.shape or (part.mode, part.colors) != (raw.mode, raw.colors):
        raise DatasetError(
            f"{path} and {part_path} are masks of one picture and of different sizes, modes or "
            "palettes; make one mask of them"
        )
    drawn = raw.pixels != 0, part.pixels != 0
    overlap = int((drawn[0] & drawn[1] & (raw.pixels != part.pixels)).sum())
    if are_versions(int((drawn[0] & (raw.pixels == part.pixels)).sum()), *drawn):
        raise DatasetError(
            f"{path} and {part_path} are masks of one picture and draw most of the same pixels and "
            "not all, as two versions of one mask do; leave the one that is right"
        )
    if overlap:
        raise DatasetError(
            f"{path} and {part_path} are masks of one picture and say different classes in "
            f"{overlap} pixels; make one mask of them"
        )
    pixels = np.where(raw.pixels == 0, part.pixels, raw.pixels)
    return replace(raw, pixels=pixels, clear=None)
