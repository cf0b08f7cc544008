"""What is made of a map when all of its rows are done: rasters, polygons, areas."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract, atomic
from service.domain.classes import kept_ids
from service.domain.errors import InvalidOptionError
from service.domain.source import SourceInfo, Window
from service.maps.like import lay_on_grid
from service.maps.options import MapOptions
from service.maps.plan import MapPlan
from service.maps.work import Work
from service.outputs.geo.areas import ClassArea, class_areas
from service.outputs.geo.cog import side_file, side_path, write_cog
from service.outputs.geo.geojson import refuse_without_crs, write_geojson
from service.outputs.geo.geopackage import write_geopackage
from service.outputs.geo.mosaic import Legend, opened_mosaic, read_window, write_mosaic
from service.outputs.geo.regions import find_regions
from service.outputs.geo.shapes import Shapes, shapes_of

FORMATS = ("geotiff", "confidence", "gpkg", "geojson")

# Called with a file that is written and where it will be, just before it is there.
Noting = Callable[[Path, Path], None]

_STRIP_PIXELS = 2**25
_LEAST_ROWS = 64


@dataclass(frozen=True)
class Finished:
    """The files that were written, by format, what each class covers, and the (height, width) and
    place of the map.
    """

    files: Mapping[str, tuple[Path, ...]]
    areas: tuple[ClassArea, ...]
    size: tuple[int, int]
    info: SourceInfo


@dataclass(frozen=True)
class _Map:
    """All rows of a map, as one raster on the disk."""

    folder: Path
    raster: Path
    size: tuple[int, int]
    stored: Window | None
    contract: Contract
    model_id: str
    info: SourceInfo
    options: MapOptions
    areas: tuple[ClassArea, ...]
    confidence: Path
    noting: Noting

    @contextmanager
    def placed(self, target: Path) -> Iterator[Path]:
        """A file to write in the block, which appears as `target` after it, and is told of just
        before.
        """
        with atomic.replacing(target) as partial:
            yield partial
            self.noting(partial, target)

    def shapes(self, read: Callable[[Window], NDArray[np.uint8]]) -> Iterator[Shapes]:
        kept = kept_ids(self.contract, self.options.classes)
        regions = find_regions(_strips(self.size, read), kept)
        return shapes_of(regions, self.info, self.options.min_area, self.options.tolerance)


def refuse_targets(targets: Mapping[str, Path]) -> None:
    """Raises InvalidOptionError where a format is asked for that maps are not written in."""
    unknown = [name for name in targets if name not in FORMATS]
    if unknown or not targets:
        raise InvalidOptionError(
            f"Maps are written as {', '.join(FORMATS)}; "
            f"{', '.join(unknown) or 'none of them'} was asked for."
        )


def refuse_without_ground(targets: Mapping[str, Path], info: SourceInfo) -> None:
    """Raises InvalidOptionError where a format needs to know where the raster lies."""
    if "geojson" in targets:
        refuse_without_crs(info)


def finish(
    work: Work,
    plan: MapPlan,
    contract: Contract,
    model_id: str,
    info: SourceInfo,
    options: MapOptions,
    targets: Mapping[str, Path],
    like: Path | None,
    noting: Noting,
) -> Finished:
    """Make the targets of the rows, each whole or not at all, and remove these. Raises OSError and
    ServiceError.
    """
    size, stored = (plan.window.height, plan.window.width), plan.stored
    extents = {row: plan.row_extent(row) for row in plan.rows}
    extents = {row: (top, bottom) for row, (top, bottom) in extents.items() if bottom > top}
    raster, confidence = work.folder / "classes.vrt", work.folder / "confidence.vrt"
    legend = Legend.of(contract, model_id)
    write_mosaic(raster, size, work.parts("classes", extents), info, legend, stored=stored)
    if "confidence" in targets:
        parts = work.parts("confidence", extents)
        write_mosaic(confidence, size, parts, info, None, stored=stored)
    if like is not None:
        for kind in ("classes", "confidence") if "confidence" in targets else ("classes",):
            own = legend if kind == "classes" else None
            size, place = lay_on_grid(work.folder, kind, like, info, own)
        info, stored = place, None
    with opened_mosaic(raster) as dataset:
        areas = tuple(
            class_areas(functools.partial(read_window, dataset), size, info, contract, stored)
        )
    of_map = _Map(
        work.folder,
        raster,
        size,
        stored,
        contract,
        model_id,
        info,
        options,
        areas,
        confidence,
        noting,
    )
    files = {kind: _WRITERS[kind](of_map, target) for kind, target in targets.items()}
    work.remove()
    return Finished(files, areas, size, info)


def _write_geotiff(of: _Map, target: Path) -> tuple[Path, ...]:
    legend, side = Legend.of(of.contract, of.model_id), side_path(target)
    with of.placed(target) as partial:
        write_cog(partial, of.folder, of.raster, of.info, legend, of.stored)
    with of.placed(side) as partial:
        partial.write_text(side_file(legend), encoding="utf-8")
    return target, side


def _write_confidence(of: _Map, target: Path) -> tuple[Path, ...]:
    with of.placed(target) as partial:
        write_cog(partial, of.folder, of.confidence, of.info, None, of.stored)
    return (target,)


def _write_gpkg(of: _Map, target: Path) -> tuple[Path, ...]:
    with of.placed(target) as partial, opened_mosaic(of.raster) as dataset:
        shapes = of.shapes(functools.partial(read_window, dataset))
        write_geopackage(partial, shapes, of.info, of.contract, of.areas, of.size)
    return (target,)


def _write_geojson(of: _Map, target: Path) -> tuple[Path, ...]:
    head = {"model": of.model_id, "classes": [area.as_json() for area in of.areas]}
    with of.placed(target) as partial, opened_mosaic(of.raster) as dataset:
        pieces = write_geojson(
            of.shapes(functools.partial(read_window, dataset)), of.info, of.contract, head
        )
        with partial.open("wb") as file:
            file.writelines(pieces)
    return (target,)


_WRITERS: Mapping[str, Callable[[_Map, Path], tuple[Path, ...]]] = {
    "geotiff": _write_geotiff,
    "confidence": _write_confidence,
    "gpkg": _write_gpkg,
    "geojson": _write_geojson,
}


def _strips(
    size: tuple[int, int], read: Callable[[Window], NDArray[np.uint8]]
) -> Iterator[NDArray[np.uint8]]:
    height, width = size
    rows = max(_LEAST_ROWS, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield read(Window(top, 0, min(rows, height - top), width))
