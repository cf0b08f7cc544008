"""Labels that lie on the ground: polygons of a GeoPackage or a GeoJSON, or rasters of class ids.

Each is brought to the grid of a part of a scene when that part is read: polygons are burnt in the
scene's CRS, where a pixel is of a polygon that holds its center; of rasters a pixel gets the
nearest value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.transform import array_bounds
from rasterio.warp import Resampling, reproject, transform

from models.data.dataset import VOID, DatasetError, Issue
from models.data.depth import ALONE
from models.data.layouts.regions import DrawnFromFile, require_rest
from models.data.mask_files import RawMask
from models.data.masks import FileMask, MaskEncoding
from models.data.scenes import Scene, Window

Geometries = NDArray[np.object_]
Bounds = tuple[float, float, float, float]  # left, bottom, right, top

_PARTLY = 0.01  # of the smaller of two polygons; less is how borders were drawn
# For what has a place and no CRS: any one does, as long as it is the same.
_NO_CRS = CRS.from_epsg(32631)
_OUTSIDE = -1


@dataclass(frozen=True, eq=False)
class VectorLabels:
    """Polygons of one file, (n,), in its `crs`, and the class id of each."""

    path: Path
    crs: CRS
    geometries: Geometries
    class_ids: NDArray[np.int64]

    def in_crs(self, crs: CRS) -> "PlacedLabels":
        """The same in another CRS, what is smaller last. Raises DatasetError."""
        return _placed(self, crs.to_wkt())


@dataclass(frozen=True, eq=False)
class PlacedLabels:
    """Polygons in the CRS of a scene, the largest first, found by where they are."""

    geometries: Geometries
    class_ids: NDArray[np.int64]
    tree: shapely.STRtree = field(repr=False)

    @property
    def bounds(self) -> Bounds:
        left, bottom, right, top = shapely.total_bounds(self.geometries).tolist()
        return left, bottom, right, top


@lru_cache(maxsize=64)
def _placed(labels: VectorLabels, wkt: str) -> PlacedLabels:
    crs = CRS.from_wkt(wkt)
    geometries = labels.geometries
    if crs != labels.crs:

        def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
            x, y = transform(labels.crs, crs, points[:, 0], points[:, 1])
            return np.stack((np.asarray(x), np.asarray(y)), axis=-1)

        try:
            geometries = shapely.transform(geometries, moved)
        except RasterioError as error:
            raise DatasetError(
                f"{labels.path}: its coordinates have no place in {crs.to_string()[:80]} ({error})"
            ) from error
    order = np.argsort(-shapely.area(geometries), kind="stable")
    geometries = geometries[order]
    return PlacedLabels(geometries, labels.class_ids[order], shapely.STRtree(geometries))


def partial_overlaps(labels: VectorLabels) -> int:
    """How many pairs of polygons of different classes cover a part of each other."""
    valid = shapely.make_valid(labels.geometries)
    first, second = shapely.STRtree(valid).query(valid, predicate="overlaps")
    is_pair = (first < second) & (labels.class_ids[first] != labels.class_ids[second])
    first, second = first[is_pair], second[is_pair]
    shared = shapely.area(shapely.intersection(valid[first], valid[second]))
    smaller = np.minimum(shapely.area(valid[first]), shapely.area(valid[second]))
    return int((shared > _PARTLY * smaller).sum())


@dataclass(frozen=True, eq=False)
class VectorMask(DrawnFromFile):
    """Polygons on a part of a scene; a smaller one lies on top. `rest` is the class of pixels that
    none covers, None where nothing says it."""

    path: Path
    scene: Scene
    window: Window
    labels: VectorLabels
    rest: int | None

    def read_with_issues(self) -> tuple[NDArray[np.uint8], tuple[Issue, ...]]:
        window, on_ground = self.window, self.scene.on_ground(self.window)
        placed = self.labels.in_crs(self.scene.crs or self.labels.crs)
        bounds = array_bounds(window.height, window.width, on_ground)
        at = np.sort(placed.tree.query(shapely.box(*bounds)))
        shape = window.height, window.width
        shown = np.zeros(shape, np.int32)  # the polygon on top, counted from 1; 0: none
        if len(at):
            drawn = [(placed.geometries[place], number) for number, place in enumerate(at, 1)]
            shown = rasterize(drawn, out_shape=shape, transform=on_ground, dtype="int32")
        name = f"{self.scene.path.name} {window.name}"
        require_rest(self.rest, int((shown == 0).sum()), self.path, name)
        classes = np.concatenate(([self.rest or 0], placed.class_ids[at])).astype(np.uint8)
        ids: NDArray[np.uint8] = classes[shown]
        return ids, ()


@dataclass(frozen=True)
class LabelRaster:
    """The header of a raster of class ids, and what it spans in its own CRS."""

    path: Path
    crs: CRS | None
    bounds: Bounds
    no_data: float | None
    colors: tuple[int, ...] | None
    grid: tuple[float, ...]  # height, width, and the six numbers of its transform


def read_label_raster(path: Path) -> LabelRaster | None:
    """None where it is no raster of one band of whole numbers with a place on the ground."""
    try:
        with rasterio.Env(**ALONE), rasterio.open(path.resolve(), driver="GTiff") as dataset:
            is_whole = np.dtype(dataset.dtypes[0]).kind in "ui"
            if dataset.count != 1 or not is_whole or dataset.transform.is_identity:
                return None
            colors = None
            if dataset.colorinterp[0].name == "palette":
                table = dataset.colormap(1)
                colors = tuple(
                    red << 16 | green << 8 | blue
                    for red, green, blue, _ in (table[index] for index in range(max(table) + 1))
                )
            bounds = dataset.bounds
            spans = (bounds.left, bounds.bottom, bounds.right, bounds.top)
            grid = (dataset.height, dataset.width, *tuple(dataset.transform)[:6])
            return LabelRaster(path, dataset.crs, spans, dataset.nodata, colors, grid)
    except (RasterioError, KeyError):
        return None


@dataclass(frozen=True, eq=False)
class RasterMask(DrawnFromFile):
    """Rasters of class ids on a part of a scene; where none of them is, nothing is labelled."""

    path: Path
    scene: Scene
    window: Window
    rasters: tuple[LabelRaster, ...]
    encoding: MaskEncoding

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(raster.path for raster in self.rasters)

    def read_with_issues(self) -> tuple[NDArray[np.uint8], tuple[Issue, ...]]:
        ids = np.full((self.window.height, self.window.width), VOID, np.uint8)
        known = np.zeros(ids.shape, np.bool_)
        for raster in self.rasters:
            values = self._on_grid(raster)
            own = values != _OUTSIDE
            if not own.any():
                continue
            found = np.full(ids.shape, VOID, np.uint8)
            raw = RawMask(
                values[own].reshape(1, -1), "L" if not raster.colors else "P", raster.colors
            )
            found[own] = FileMask(raster.path, self.encoding).ids(raw)[0]
            differing = int((known & own & (ids != found)).sum())
            if differing:
                raise DatasetError(
                    f"{raster.path} and another label raster say different classes of {differing} "
                    f"pixels of {self.scene.path.name} {self.window.name}; leave one of them"
                )
            ids[own] = found[own]
            known |= own
        return ids, ()

    def _on_grid(self, raster: LabelRaster) -> NDArray[np.int32]:
        """The nearest values (h, w), _OUTSIDE where there is none. Raises DatasetError."""
        values = np.full((self.window.height, self.window.width), _OUTSIDE, np.int32)
        try:
            with (
                rasterio.Env(**ALONE),
                rasterio.open(raster.path.resolve(), driver="GTiff") as dataset,
            ):
                reproject(
                    rasterio.band(dataset, 1),
                    values,
                    src_crs=raster.crs or _NO_CRS,
                    dst_transform=self.scene.on_ground(self.window),
                    dst_crs=self.scene.crs or _NO_CRS,
                    dst_nodata=_OUTSIDE,
                    resampling=Resampling.nearest,
                )
        except RasterioError as error:
            raise DatasetError(
                f"{raster.path} cannot be read ({error}); replace it or take it out"
            ) from error
        return values


def in_crs(bounds: Bounds, source: CRS | None, target: CRS | None) -> Bounds:
    """What bounds span in another CRS, by points along their edges."""
    left, bottom, right, top = bounds
    along = np.linspace(0, 1, 21)
    xs = np.concatenate((left + (right - left) * along, left + (right - left) * along))
    xs = np.concatenate((xs, np.full(21, left), np.full(21, right)))
    ys = np.concatenate((np.full(21, bottom), np.full(21, top)))
    ys = np.concatenate((ys, bottom + (top - bottom) * along, bottom + (top - bottom) * along))
    if source is not None and target is not None and source != target:
        moved = transform(source, target, xs, ys)
        xs, ys = (np.asarray(axis)[np.isfinite(axis)] for axis in moved)
    if not len(xs) or not len(ys):
        return (0.0, 0.0, 0.0, 0.0)
    return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())


def touch(first: Bounds, second: Bounds) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )


def placed_on(rasters: Sequence[LabelRaster], scene: Scene) -> list[tuple[LabelRaster, Bounds]]:
    """Each raster with what it spans in the CRS of a scene."""
    return [(raster, in_crs(raster.bounds, raster.crs, scene.crs)) for raster in rasters]


def rasters_on(
    placed: Sequence[tuple[LabelRaster, Bounds]], scene: Scene, window: Window
) -> Iterator[LabelRaster]:
    """Those that reach into a part of the scene that they were placed on."""
    own = array_bounds(window.height, window.width, scene.on_ground(window))
    for raster, bounds in placed:
        if touch(bounds, own):
            yield raster
