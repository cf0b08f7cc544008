"""Pictures that lie on the ground: GeoTIFFs, read window by window, by GDAL's GTiff driver alone.

Bands, validity and depth are as `service.inputs.raster` and `service.maps` have them.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio import warp
from rasterio._err import CPLE_BaseError  # what `warp` raises, in no public module
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.windows import Window as GdalWindow
from scipy import ndimage

from models.contract.preprocessing import Intensity
from models.contract.probing import floating_step, looked_at
from models.contract.tiff_form import CMYK
from models.data import tiff
from models.data.depth import ALONE, Deep, Depth, depth_of, in_8_bits

SUFFIXES = frozenset({".tif", ".tiff"})
_CACHE_BYTES = 64 * 2**20
_COARSE_SIDE = 4096
_ENV = ALONE | {"GDAL_CACHEMAX": _CACHE_BYTES}
_LON_LAT = CRS.from_epsg(4326)
_COLORS = ("red", "green", "blue")
_READ_TYPES = ("uint8", "uint16", "float32", "float64")


class Window(NamedTuple):
    """A part of a picture, in its own pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def name(self) -> str:
        return f"[{self.top}:{self.top + self.height}, {self.left}:{self.left + self.width}]"


@dataclass(frozen=True)
class Scene:
    """What the header of a GeoTIFF says. `indexes` are its bands of gray, or of red, green and
    blue; `has_palette` says that its one band is of indices of colours. `transform` leads from
    columns and rows to the ground, in units of `crs`."""

    path: Path
    height: int
    width: int
    transform: Affine
    crs: CRS | None
    indexes: tuple[int, ...]
    dtype: str
    has_palette: bool
    has_void: bool
    significant_bits: int | None

    @property
    def whole(self) -> Window:
        return Window(0, 0, self.height, self.width)

    @property
    def is_deep(self) -> bool:
        return self.dtype != "uint8"

    @property
    def is_gray(self) -> bool:
        return len(self.indexes) == 1 and not self.has_palette

    @property
    def mode(self) -> str:
        bits = np.dtype(self.dtype).itemsize * 8
        return f"{'gray' if self.is_gray else 'RGB'} of {bits} bits"

    @property
    def pixel_size(self) -> float | None:
        """The side in meters of a square with the area of the middle pixel, by the equal-area
        projection (LAEA) around it; None without a CRS, or where the Earth ends before it."""
        if self.crs is None:
            return None
        corners = [(0.0, 0.0), (-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
        points = [
            self.transform @ (self.width / 2 + across, self.height / 2 + down)
            for across, down in corners
        ]
        try:
            (east,), (north,) = warp.transform(self.crs, _LON_LAT, *zip(points[0], strict=True))
            around = CRS.from_proj4(f"+proj=laea +lat_0={north} +lon_0={east} +datum=WGS84")
            x, y = map(np.asarray, warp.transform(self.crs, around, *zip(*points[1:], strict=True)))
        except (CPLE_BaseError, CRSError):  # there is no such place
            return None
        area = abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2
        return math.sqrt(area) if math.isfinite(area) and area > 0 else None

    def on_ground(self, window: Window) -> Affine:
        """The transform of a part of it."""
        return self.transform @ Affine.translation(window.left, window.top)


WINDOW_SIDE = 512
_WHOLE_SIDE = 1024  # a scene with no larger side is one picture


def windows_of(scene: Scene) -> Iterator[Window]:
    """A large scene in parts of about WINDOW_SIDE, of nearly one size; a small one whole."""
    if max(scene.height, scene.width) <= _WHOLE_SIDE:
        yield scene.whole
        return
    for top, height in _parts(scene.height):
        for left, width in _parts(scene.width):
            yield Window(top, left, height, width)


def _parts(length: int) -> list[tuple[int, int]]:
    count = max(1, round(length / WINDOW_SIDE))
    edges = [length * number // count for number in range(count + 1)]
    return [(start, stop - start) for start, stop in pairwise(edges)]


def read_scene(path: Path) -> Scene | None:
    """The header of a GeoTIFF; None for another file, for one without a place on the ground, and
    where it is damaged.

    Raises ValueError where its bands may be meant in several ways, or are of a type that is not
    read.
    """
    if path.suffix.lower() not in SUFFIXES:
        return None
    stat = path.stat()
    return _read_scene(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _read_scene(path: Path, _mtime_ns: int, _size: int) -> Scene | None:
    page = tiff.read_page(path)
    if page is None or page.orientation in range(2, 9) or page.place or page.is_premultiplied:
        return None
    if page.photometric == CMYK or page.white_is_zero:
        return None
    try:
        with _opened(path) as dataset:
            if dataset.transform.is_identity or dataset.transform.is_degenerate:
                return None
            flags = {flag.name for band in dataset.mask_flag_enums for flag in band}
            kinds = [color.name for color in dataset.colorinterp]
            has_palette = kinds == ["palette"]
            indexes = _indexes(kinds)
            types = {dataset.dtypes[index - 1] for index in indexes}
            if len(types) > 1 or not types <= {*_READ_TYPES}:
                raise ValueError(
                    f"its bands are {', '.join(sorted(types))}; save it as {', '.join(_READ_TYPES)}"
                )
            dtype = str(types.pop())
            return Scene(
                path,
                int(dataset.height),
                int(dataset.width),
                dataset.transform,
                dataset.crs,
                indexes,
                dtype,
                has_palette,
                flags != {"all_valid"} or dtype.startswith("float"),
                page.significant_bits,
            )
    except RasterioError:
        return None


def _indexes(kinds: list[str]) -> tuple[int, ...]:
    """The bands that are read: those called red, green and blue, else all that are not alpha."""
    if all(color in kinds for color in _COLORS):
        return tuple(kinds.index(color) + 1 for color in _COLORS)
    others = tuple(place for place, kind in enumerate(kinds, 1) if kind != "alpha")
    if len(others) not in (1, 3):
        raise ValueError(
            f"it has {len(kinds)} bands ({', '.join(kinds)}), and none are called red, green and "
            "blue; save the three that are meant, such as with gdal_translate -b 4 -b 3 -b 2"
        )
    return others


def read_samples(
    scene: Scene, window: Window, rule: Intensity | None
) -> tuple[NDArray[np.uint8], Depth | None]:
    """A part of a scene, uint8 (h, w, 1 or 3), and of a deep one how its samples became that: by
    the window of the whole file. What has no picture is filled with the nearest pixel that has.

    Raises ValueError where it does not decode, or has no rule.
    """
    depth = _depth(scene, scene.path.stat().st_mtime_ns, rule) if scene.is_deep else None
    try:
        with _opened(scene.path) as dataset:
            stored = np.moveaxis(dataset.read(list(scene.indexes), window=_gdal(window)), 0, -1)
            if scene.has_palette:
                stored = _palette(dataset)[stored[..., 0]]
            valid = _valid(dataset, scene, window, stored)
    except RasterioError as error:
        raise ValueError(f"its pixels do not decode: {error}") from error
    pixels = np.array(stored if depth is None else in_8_bits(stored, depth), np.uint8)
    if valid is not None:
        _fill(pixels, valid)
    return pixels, depth


def read_valid(scene: Scene, window: Window) -> NDArray[np.bool_] | None:
    """Where (h, w) a part of a scene has a picture; None for everywhere. Raises ValueError."""
    if not scene.has_void:
        return None
    try:
        with _opened(scene.path) as dataset:
            stored = None
            if scene.dtype.startswith("float"):
                stored = np.moveaxis(dataset.read(list(scene.indexes), window=_gdal(window)), 0, -1)
            return _valid(dataset, scene, window, stored)
    except RasterioError as error:
        raise ValueError(f"its pixels do not decode: {error}") from error


def has_picture(scene: Scene, window: Window) -> bool:
    """Whether a look at every few pixels finds one that has a picture. Raises ValueError."""
    if not scene.has_void:
        return True
    coarse = _coarse_validity(scene, scene.path.stat().st_mtime_ns)
    rows, columns = (
        slice(
            start * many // whole,
            max(start * many // whole + 1, -(-(start + size) * many // whole)),
        )
        for start, size, many, whole in (
            (window.top, window.height, coarse.shape[0], scene.height),
            (window.left, window.width, coarse.shape[1], scene.width),
        )
    )
    return bool(coarse[rows, columns].any())


@lru_cache(maxsize=64)
def _coarse_validity(scene: Scene, _mtime_ns: int) -> NDArray[np.bool_]:
    """The validity of a scene in at most _COARSE_SIDE a side; all of a floating-point one, whose
    samples are not looked at."""
    step = max(1, -(-max(scene.height, scene.width) // _COARSE_SIDE))
    shape = -(-scene.height // step), -(-scene.width // step)
    try:
        with rasterio.Env(**_ENV), rasterio.open(scene.path.resolve(), driver="GTiff") as dataset:
            return np.asarray(dataset.dataset_mask(out_shape=shape) > 0)
    except RasterioError as error:
        raise ValueError(f"its pixels do not decode: {error}") from error


def _valid(
    dataset: rasterio.DatasetReader,
    scene: Scene,
    window: Window,
    stored: NDArray[np.generic] | None,
) -> NDArray[np.bool_] | None:
    """By GDAL's rule: a mask or alpha, else every band has its nodata value; and no number is."""
    if not scene.has_void:
        return None
    valid: NDArray[np.bool_] = dataset.dataset_mask(window=_gdal(window)) > 0
    if scene.dtype.startswith("float") and stored is not None:
        valid &= np.isfinite(stored).all(axis=-1)
    return None if valid.all() else valid


def _fill(pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> None:
    if valid.any():
        place = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
        pixels[...] = pixels[tuple(place)]


@lru_cache(maxsize=256)
def _depth(scene: Scene, _mtime_ns: int, rule: Intensity | None) -> Depth:
    """How the deep samples of a whole file become 8 bits, void left out. Raises ValueError."""
    bits, bands = np.dtype(scene.dtype).itemsize * 8, len(scene.indexes)
    return depth_of(_looked_at(scene), bits, bands, scene.significant_bits, rule)


def _looked_at(scene: Scene) -> Iterator[Deep]:
    is_floating = scene.dtype.startswith("float")
    step = floating_step(scene.height, scene.width, len(scene.indexes)) if is_floating else 1
    with _opened(scene.path) as dataset:
        for part in map(Window._make, looked_at(scene.height, scene.width)):
            stored = np.moveaxis(dataset.read(list(scene.indexes), window=_gdal(part)), 0, -1)
            valid = _valid(dataset, scene, part, stored)
            yield (stored if valid is None else stored[valid]).reshape(-1)[::step]


@contextmanager
def _opened(path: Path) -> Iterator[rasterio.DatasetReader]:
    with (
        rasterio.Env(**_ENV),
        rasterio.open(path.resolve(), driver="GTiff") as dataset,
    ):
        yield dataset


def _palette(dataset: rasterio.DatasetReader) -> NDArray[np.uint8]:
    colors = np.zeros((256, 3), np.uint8)
    for index, color in dataset.colormap(1).items():
        if index < len(colors):
            colors[index] = color[:3]
    return colors


def _gdal(window: Window) -> GdalWindow:
    return GdalWindow(window.left, window.top, window.width, window.height)
