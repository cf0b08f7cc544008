"""A GeoTIFF, BigTIFF or COG of any size: windows of it are read as they are needed, by GDAL's GTiff
driver and none of its others.
"""

import math
import mmap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import (
    ImageTooLargeError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)
from service.domain.gdal_blocks import BLOCKS, CACHE_BYTES
from service.domain.ground import lies_on_earth, true_pixel_size
from service.domain.source import Samples, SourceInfo, Window
from service.inputs.raster_bands import band_indexes, palette_of
from service.inputs.tiff import TIFF, pages_of
from service.inputs.tiff_directory import Directory, read_directories

if TYPE_CHECKING:
    import rasterio

MAX_BLOCK_PIXELS = 64_000_000
# Of a file in strips, which are as wide as it is, a row of tiles is read at once.
MAX_STRIP_BYTES = 768 * 2**20

_STRIP_PIXELS = 2**21

_READ_TYPES = ("uint8", "uint16", "float32", "float64")
# Beside a file of the machine's own, its world file and mask may lie; an upload is alone.
_ENV = {"GDAL_CACHEMAX": CACHE_BYTES}
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
        self._palette = palette_of(dataset) if bands is None else None
        self._indexes = [1] if self._palette is not None else band_indexes(dataset, bands)
        self.bands = 3 if self._palette is not None else len(self._indexes)
        self.dtype = np.dtype(self._dtype())
        is_whole = self.dtype.kind == "u" and self._palette is None
        self._white = 2 ** form.bits[0] - 1 if is_whole else 0
        self._inverted = is_whole and form.white_is_zero and bands is None
        flags = {flag.name for each in dataset.mask_flag_enums for flag in each}
        self.has_void = flags != {"all_valid"} or self.dtype.kind == "f"
        self._has_mask = flags != {"all_valid"}
        # By the same rule, and several times as fast as GDAL says it.
        self._plain_nodata = (
            flags == {"nodata"}
            and self.dtype == np.uint8
            and set(dataset.dtypes) == {"uint8"}
            and dataset.count <= 3
            and all(value is not None and value in range(256) for value in dataset.nodatavals)
        )
        # Of a sparse file a block that is not stored is nodata in each of its pixels.
        self._nodata_alone = flags == {"nodata"}
        self._bands_apart = dataset.count > 1 and dataset.interleaving != Interleaving.pixel
        self._looks_up = True
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
        samples: Samples = np.empty((*read.shape[1:], len(read)), self.dtype)
        self._put_bands(read, samples)
        return samples

    def _put_bands(self, read: Iterable[Samples], samples: Samples) -> None:
        """What GDAL gives of each band (h, w), pixel by pixel in `samples` (h, w, bands)."""
        for place, band in enumerate(read):  # several times as fast as all of them together
            light = self._white - band if self._inverted else band
            if 0 < self._white < 255:  # such as 0 and 1 of a scan in black and white
                light = light.astype(np.uint16) * 255 // self._white
            samples[..., place] = light

    def look(self, window: Window) -> tuple[Samples, NDArray[np.bool_] | None]:
        """What `read` and `valid` give, each block decoded once. Raises UnreadableImageError."""
        samples: Samples = np.empty((window.height, window.width, self.bands), self.dtype)
        valid = np.ones((window.height, window.width), np.bool_) if self.has_void else None
        strips, self._looks_up = list(self._strips(window)), not self._looks_up
        # There and back: of the tile before, GDAL's cache has the last ones that both look at.
        for part in reversed(strips) if self._looks_up else strips:
            stored = self.stored(part)
            rows, columns = window.slices_of(part)
            if stored != part:
                samples[rows, columns] = 0
                if valid is not None:
                    valid[rows, columns] = False
            if stored is None:
                continue
            rows, columns = window.slices_of(stored)
            there = self._looked_at(stored, samples[rows, columns])
            if valid is not None:
                valid[rows, columns] = True if there is None else there
        return samples, None if valid is None or valid.all() else valid

    def _looked_at(self, window: Window, samples: Samples) -> NDArray[np.bool_] | None:
        """Read into `samples`; gives what is valid."""
        if not self._plain_nodata or self._palette is not None:
            valid = self.valid(window)  # first: GDAL's cache has what it decoded
            samples[...] = self.read(window)
            return valid
        with _reading():
            bands = self._dataset.read(window=_ranges(window))
        self._put_bands((bands[index - 1] for index in self._indexes), samples)
        return self._without_nodata(bands)

    def _strips(self, window: Window) -> Iterator[Window]:
        """Rows of blocks, a few at a time: what is decoded of them fits GDAL's cache."""
        bottom, high = window.top + window.height, self._block[0]
        at_once = max(1, _STRIP_PIXELS // (window.width * high)) * high
        top = window.top
        while top < bottom:
            stop = min(bottom, top // at_once * at_once + at_once)
            yield Window(top, window.left, stop - top, window.width)
            top = stop

    def valid(self, window: Window) -> NDArray[np.bool_] | None:
        """Where (h, w) there is a picture; None where there is one in every pixel of it. Raises
        UnreadableImageError.

        By the rule of GDAL: a mask or alpha, else every band has its nodata value.
        """
        if not self.has_void:
            return None
        stored = self.stored(window)
        if stored != window:
            whole = np.zeros((window.height, window.width), np.bool_)
            if stored is not None:
                part = self.valid(stored)
                whole[window.slices_of(stored)] = True if part is None else part
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

    def can_hold_rows(self, count: int) -> bool:
        """Whether so many rows of it can be held at once, where it is in strips."""
        size = min(count, self.height) * self.width * self.bands * self.dtype.itemsize
        return not self.is_striped or size <= MAX_STRIP_BYTES

    def stored(self, window: Window) -> Window | None:
        """The part of a window beyond which all is void, as is known without reading any pixel;
        None where nothing is in it.
        """
        return self._stored(window) if self._nodata_alone else window

    def _stored(self, window: Window) -> Window | None:
        """The part of a window around its blocks that are stored; None where none is."""
        high, wide = self._block
        rows = range(window.top // high, -(-(window.top + window.height) // high))
        columns = range(window.left // wide, -(-(window.left + window.width) // wide))
        bands = range(1, self._dataset.count + 1) if self._bands_apart else (1,)

        def any_there(rows: Iterable[int], columns: Iterable[int]) -> bool:
            blocks = product(rows, columns, bands)
            return any(self._is_stored(row, column, band) for row, column, band in blocks)

        first_row = next((row for row in rows if any_there([row], columns)), None)
        if first_row is None:
            return None
        last_row = next(row for row in reversed(rows) if any_there([row], columns))
        rows = range(first_row, last_row + 1)
        first = next(column for column in columns if any_there(rows, [column]))
        last = next(column for column in reversed(columns) if any_there(rows, [column]))
        top, left = max(window.top, first_row * high), max(window.left, first * wide)
        bottom = min(window.top + window.height, (last_row + 1) * high)
        right = min(window.left + window.width, (last + 1) * wide)
        return Window(top, left, bottom - top, right - left)

    def _is_stored(self, row: int, column: int, band: int) -> bool:
        name = f"BLOCK_OFFSET_{column}_{row}"
        return self._dataset.get_tag_item(name, "TIFF", bidx=band) is not None

    def _masked(self, window: Window) -> NDArray[np.bool_]:
        if not self._plain_nodata:
            masked: NDArray[np.bool_] = self._dataset.dataset_mask(window=_ranges(window)) > 0
            return masked
        # which are read anyway
        return self._without_nodata(self._dataset.read(window=_ranges(window)))

    def _without_nodata(self, bands: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where (h, w) one of all the bands (count, h, w) has a value."""
        valid, has_value = np.zeros(bands.shape[1:], np.bool_), np.empty(bands.shape[1:], np.bool_)
        for band, nodata in zip(bands, self._dataset.nodatavals, strict=True):
            np.not_equal(band, bands.dtype.type(nodata), out=has_value)
            valid |= has_value
            if valid.all():
                break
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


@contextmanager
def _reading() -> Iterator[None]:
    from rasterio.errors import RasterioError

    try:
        with BLOCKS.reading():
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
            "The bytes are no TIFF; maps (`geotiff`, `geojson`, `gpkg`) are made of GeoTIFF, "
            "BigTIFF and COG files. Of another picture ask for `png` or `polygons`, which are in "
            "its pixels."
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
    size, is_on_earth = None, True
    if transform is not None and crs is not None:
        is_on_earth = lies_on_earth(transform, crs.to_wkt(), dataset.height, dataset.width)
        size = true_pixel_size(transform, crs.to_wkt(), dataset.height, dataset.width)
    if not is_on_earth:
        note = (
            "by its CRS not all of it has a longitude and latitude, so areas are not known in m²."
        )
    tags = dataset.tags()
    kept = {key: tags[key] for key in ("AREA_OR_POINT",) if key in tags}
    info = SourceInfo(
        transform=transform,
        reference=None if crs is None else crs.to_wkt(),
        is_on_earth=is_on_earth,
        pixel_size=size,
        unit=None if size is None else "m",
        significant_bits=form.significant_bits,
        attributes=kept,
    )
    return info, note


def _ranges(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    top, left, height, width = window
    return (top, top + height), (left, left + width)
