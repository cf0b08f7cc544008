"""A GeoTIFF, BigTIFF or COG of any size: windows of it are read as they are needed, by GDAL's GTiff
driver and none of its others.
"""

import math
import mmap
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import (
    ImageTooLargeError,
    InvalidOptionError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)
from service.domain.ground import true_pixel_size
from service.domain.requests import parse_bands
from service.domain.source import Samples, SourceInfo, Window
from service.inputs.gdal import CACHE_MEGABYTES
from service.inputs.tiff import TIFF, pages_of
from service.inputs.tiff_directory import Directory, read_directories

if TYPE_CHECKING:
    import rasterio

MAX_BLOCK_PIXELS = 64_000_000
# Of a file in strips, which are as wide as it is, a row of tiles is read at once.
MAX_STRIP_BYTES = 768 * 2**20

_COLORS = ("red", "green", "blue")
_READ_TYPES = ("uint8", "uint16", "float32", "float64")
# Beside a file of the machine's own, its world file and mask may lie; an upload is alone.
_ENV = {"GDAL_CACHEMAX": CACHE_MEGABYTES}
_ALONE = _ENV | {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}


class Raster:
    """One raster of a file, open. For one thread at a time.

    `bands` is what a pixel has here: 1 is gray, 3 is RGB. `has_void` says that the file can say of
    a pixel that there is no picture, by a mask, alpha or nodata; not-a-number is void too.
    `is_striped` that its blocks are as wide as it is. `note` is what a caller should know of where
    it lies on the ground.
    """

    def __init__(
        self, dataset: "rasterio.DatasetReader", form: Directory, bands: str | None
    ) -> None:
        from rasterio.enums import Interleaving

        self._dataset = dataset
        self.height, self.width = int(dataset.height), int(dataset.width)
        self._palette = _palette_of(dataset) if bands is None else None
        self._indexes = [1] if self._palette is not None else _indexes(dataset, bands)
        self.bands = 3 if self._palette is not None else len(self._indexes)
        self.dtype = np.dtype(self._dtype())
        self._inverted = form.white_is_zero and bands is None
        flags = {flag.name for each in dataset.mask_flag_enums for flag in each}
        self.has_void = flags != {"all_valid"} or self.dtype.kind == "f"
        self._has_mask = flags != {"all_valid"}
        # By the same rule, and several times as fast as GDAL says it.
        self._plain_nodata = (
            flags == {"nodata"}
            and self.dtype == np.uint8
            and set(dataset.dtypes) == {"uint8"}
            and dataset.count <= len(_COLORS)
            and all(value is not None and value in range(256) for value in dataset.nodatavals)
        )
        # Of a sparse file a block that is not stored is nodata in each of its pixels.
        self._nodata_alone = flags == {"nodata"}
        self._bands_apart = dataset.count > 1 and dataset.interleaving != Interleaving.pixel
        self._block = block_height, block_width = dataset.block_shapes[0]
        self.is_striped = block_width >= self.width > 1024 and block_height < self.height
        if block_height * block_width > MAX_BLOCK_PIXELS:
            raise ImageTooLargeError(
                f"The TIFF is stored in blocks of {block_width} × {block_height} pixels; at most "
                f"{MAX_BLOCK_PIXELS:,} pixels are read at once. Save it in tiles of 512 × 512."
            )
        self.info, self.note = _info(dataset, form)

    def _dtype(self) -> str:
        types = {self._dataset.dtypes[index - 1] for index in self._indexes}
        if len(types) > 1 or not types <= set(_READ_TYPES):
            raise UnsupportedImageTypeError(
                f"The TIFF's bands are {', '.join(sorted(types))}; rasters of one of "
                f"{', '.join(_READ_TYPES)} are read. Save it as one of them."
            )
        return str(types.pop())

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> Samples:
        """Samples (h, w, `bands`) in the file's depth; of `shape` (h, w), where it is given, the
        nearest ones, from the file's overviews where it has some. Raises UnreadableImageError.
        """
        size = {} if shape is None else {"out_shape": (len(self._indexes), *shape)}
        with _reading():
            read = self._dataset.read(self._indexes, window=_ranges(window), **size)
        if self._palette is not None:
            colors: Samples = self._palette[read[0]]
            return colors
        if self._inverted:
            read = np.iinfo(read.dtype).max - read
        return np.ascontiguousarray(np.moveaxis(read, 0, -1))

    def valid(self, window: Window) -> NDArray[np.bool_] | None:
        """Where (h, w) there is a picture; None where there is one in every pixel of it. Raises
        UnreadableImageError.

        By the rule of GDAL: a mask or alpha, else every band has its nodata value.
        """
        if not self.has_void:
            return None
        stored = self._stored(window) if self._nodata_alone else window
        if stored != window:
            whole = np.zeros((window.height, window.width), np.bool_)
            if stored is not None:
                top, left = stored.top - window.top, stored.left - window.left
                part = self.valid(stored)
                rows, columns = slice(top, top + stored.height), slice(left, left + stored.width)
                whole[rows, columns] = True if part is None else part
            return whole
        valid = None
        with _reading():
            if self._has_mask:
                valid = self._masked(window)
            if self.dtype.kind == "f":
                samples = self._dataset.read(self._indexes, window=_ranges(window))
                finite = np.isfinite(samples).all(axis=0)
                valid = finite if valid is None else valid & finite
        return None if valid is None or valid.all() else valid

    def _stored(self, window: Window) -> Window | None:
        """The part of a window around its blocks that are stored; None where none is."""
        high, wide = self._block
        rows = range(window.top // high, -(-(window.top + window.height) // high))
        columns = range(window.left // wide, -(-(window.left + window.width) // wide))
        bands = range(1, self._dataset.count + 1) if self._bands_apart else (1,)
        there = [
            (row, column)
            for row in rows
            for column in columns
            if any(self._is_stored(row, column, band) for band in bands)
        ]
        if len(there) == len(rows) * len(columns):
            return window
        if not there:
            return None
        first_row, last_row = there[0][0], there[-1][0]
        across = [column for _, column in there]
        top, left = max(window.top, first_row * high), max(window.left, min(across) * wide)
        bottom = min(window.top + window.height, (last_row + 1) * high)
        right = min(window.left + window.width, (max(across) + 1) * wide)
        return Window(top, left, bottom - top, right - left)

    def _is_stored(self, row: int, column: int, band: int) -> bool:
        name = f"BLOCK_OFFSET_{column}_{row}"
        return self._dataset.get_tag_item(name, "TIFF", bidx=band) is not None

    def _masked(self, window: Window) -> NDArray[np.bool_]:
        if not self._plain_nodata:
            masked: NDArray[np.bool_] = self._dataset.dataset_mask(window=_ranges(window)) > 0
            return masked
        bands = self._dataset.read(window=_ranges(window))  # which are read anyway
        valid = np.zeros(bands.shape[1:], np.bool_)
        for band, nodata in zip(bands, self._dataset.nodatavals, strict=True):
            valid |= band != bands.dtype.type(nodata)
        return valid


@contextmanager
def open_raster(
    file: Path | bytes, *, bands: str | None = None, alone: bool = True
) -> Iterator[Raster]:
    """A raster for the time of the block.

    `bands` are the numbers of one band or of three, from 1 ("4,3,2"); without it those that the
    file calls red, green and blue, or its one gray band. `alone` keeps GDAL from files beside it.
    Raises UnsupportedImageTypeError, UnreadableImageError, ImageTooLargeError and
    InvalidOptionError.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.io import MemoryFile

    form = _form_of(file)
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(**(_ALONE if alone else _ENV)))
        options = {"driver": "GTiff"}
        try:
            if isinstance(file, Path):
                dataset = rasterio.open(file.resolve(), **options)
            else:
                dataset = stack.enter_context(MemoryFile(file)).open(**options)
        except (RasterioError, ValueError) as error:
            raise _damaged() from error
        yield Raster(stack.enter_context(dataset), form, bands)


class RowReader:
    """Windows of a raster, left to right and row by row, in as few reads as its blocks allow.

    Of a file in strips a column's window would decode whole strips again and again, so the rows
    that are read last are kept at full width, with `margin` more above and below them.
    """

    def __init__(self, raster: Raster, margin: int) -> None:
        self._raster, self._margin = raster, margin
        self._rows = slice(0, 0)
        self._samples: Samples = np.empty((0, raster.width, raster.bands), raster.dtype)
        self._valid: NDArray[np.bool_] | None = None

    def read(self, window: Window) -> Samples:
        """As `Raster.read`. Raises ImageTooLargeError too."""
        if not self._raster.is_striped:
            return self._raster.read(window)
        return self._samples[self._held(window)]

    def valid(self, window: Window) -> NDArray[np.bool_] | None:
        """As `Raster.valid`. Raises ImageTooLargeError too."""
        if not self._raster.is_striped or not self._raster.has_void:
            return self._raster.valid(window)
        part = self._held(window)
        if self._valid is None or self._valid[part].all():
            return None
        return self._valid[part]

    def _held(self, window: Window) -> tuple[slice, slice]:
        raster, bottom = self._raster, window.top + window.height
        if window.top < self._rows.start or bottom > self._rows.stop:
            margin = self._margin if raster.has_void else 0
            rows = slice(max(0, window.top - margin), min(raster.height, bottom + margin))
            height = rows.stop - rows.start
            size = height * raster.width * raster.bands * raster.dtype.itemsize
            if size > MAX_STRIP_BYTES:
                raise ImageTooLargeError(
                    f"The TIFF is stored in strips of its whole width, {raster.width:,} pixels: a "
                    f"row of tiles takes {size / 2**20:,.0f} MiB, and the limit is "
                    f"{MAX_STRIP_BYTES // 2**20} MiB. Save it in tiles, such as with "
                    "`gdal_translate -co TILED=YES`."
                )
            whole = Window(rows.start, 0, height, raster.width)
            self._rows, self._samples = slice(0, 0), self._samples[:0]  # not both at once
            self._samples, self._valid = raster.read(whole), raster.valid(whole)
            self._rows = rows
        top, left = window.top - self._rows.start, window.left
        return slice(top, top + window.height), slice(left, left + window.width)


@contextmanager
def _reading() -> Iterator[None]:
    from rasterio.errors import RasterioError

    try:
        yield
    except RasterioError as error:
        raise _damaged() from error


def _damaged() -> UnreadableImageError:
    return UnreadableImageError(
        "The TIFF is truncated or corrupt: its header is whole, its pixels do not decode. "
        "Send the whole file, or write it again."
    )


def refuse_no_tiff(start: bytes) -> None:
    """By a file's first bytes. Raises UnsupportedImageTypeError."""
    if not TIFF.sniff(start):
        raise UnsupportedImageTypeError(
            "The bytes are no TIFF; maps are made of GeoTIFF, BigTIFF and COG files."
        )


def _form_of(file: Path | bytes) -> Directory:
    """The directory that GDAL opens, by its tags. Raises as `open_raster`."""
    if isinstance(file, bytes):
        return _main_directory(file)
    with file.open("rb") as opened:
        refuse_no_tiff(opened.read(4))
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _main_directory(data)


def _main_directory(data: bytes | mmap.mmap) -> Directory:
    form = pages_of(read_directories(data))[0]
    if form.orientation in range(2, 9):
        raise UnsupportedImageTypeError(
            f"The TIFF's pixels lie turned (its Orientation tag is {form.orientation}), and where "
            "they lie on the ground can be meant two ways. Save it upright."
        )
    return form


def _indexes(dataset: "rasterio.DatasetReader", bands: str | None) -> list[int]:
    """Which bands are gray, or red, green and blue. Raises InvalidOptionError."""
    if bands is not None:
        return _named(bands, dataset.count)
    kinds = [color.name for color in dataset.colorinterp]
    if all(color in kinds for color in _COLORS):
        return [kinds.index(color) + 1 for color in _COLORS]
    others = [place for place, kind in enumerate(kinds, 1) if kind != "alpha"]
    if len(others) in (1, 3):
        return others
    raise InvalidOptionError(
        f"The TIFF has {dataset.count} bands ({', '.join(kinds)}), and none are called red, green "
        "and blue. Say which are, such as `bands=4,3,2`, or which is gray, such as `bands=1`."
    )


def _named(bands: str, count: int) -> list[int]:
    indexes = parse_bands(bands)
    if max(indexes) > count:
        has = "one band" if count == 1 else f"{count} bands"
        raise InvalidOptionError(f"The TIFF has {has}; `bands={bands}` asks for {max(indexes)}.")
    return indexes


def _palette_of(dataset: "rasterio.DatasetReader") -> NDArray[np.uint8] | None:
    if dataset.count != 1 or dataset.colorinterp[0].name != "palette":
        return None
    colors = np.zeros((256, 3), np.uint8)
    for index, color in dataset.colormap(1).items():
        if index < len(colors):
            colors[index] = color[:3]
    return colors


def _info(dataset: "rasterio.DatasetReader", form: Directory) -> tuple[SourceInfo, str | None]:
    """What the file knows of where it lies, and what is to be said of it."""
    transform, note = None, None
    if not dataset.transform.is_identity:
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        transform = float(a), float(b), float(c), float(d), float(e), float(f)
        if not all(map(math.isfinite, transform)) or a * e == b * d:
            raise UnreadableImageError(
                "The TIFF's georeference has no inverse: its pixels have no area on the ground. "
                "Georeference it again, or take the georeference out."
            )
    elif dataset.gcps[0] or dataset.rpcs:
        note = (
            "it is georeferenced by control points or RPCs alone, which is no transform; answers "
            "are in pixels. `gdalwarp` makes a raster with one."
        )
    crs = dataset.crs if transform is not None and dataset.crs else None
    if transform is not None and crs is None:
        note = "it has a transform and no CRS, so lengths and areas are not known in meters."
    size = None
    if transform is not None and crs is not None:
        size = true_pixel_size(transform, crs.to_wkt(), dataset.height, dataset.width)
    tags = dataset.tags()
    kept = {key: tags[key] for key in ("AREA_OR_POINT",) if key in tags}
    info = SourceInfo(
        transform=transform,
        reference=None if crs is None else crs.to_wkt(),
        pixel_size=size,
        unit=None if size is None else "m",
        significant_bits=form.significant_bits,
        attributes=kept,
    )
    return info, note


def _ranges(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    top, left, height, width = window
    return (top, top + height), (left, left + width)
