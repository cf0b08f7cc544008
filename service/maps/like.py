"""A map on the grid of another raster: its CRS, its pixels, its extent."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from service.domain.errors import InvalidOptionError
from service.domain.source import SourceInfo
from service.inputs.raster import Raster, open_raster
from service.outputs.geo.mosaic import (
    Legend,
    Part,
    created_part,
    opened_mosaic,
    read_window,
    write_mosaic,
    write_part,
)
from service.outputs.geo.stored import chunks

_CHUNK = 2048


def box_like(like: Path, raster: Raster) -> str:
    """Where the raster `like` lies, as a `bbox` of `raster`. Raises InvalidOptionError, and as
    `open_raster`.
    """
    from rasterio.warp import transform_bounds

    with open_raster(like, bands="1", alone=False) as other:
        own = other.info
        if own.transform is None or own.reference is None or raster.info.reference is None:
            raise InvalidOptionError(
                "A map is laid on the grid of another raster by their CRS, and one of the two has "
                "none."
            )
        on_earth = own.is_on_earth, raster.info.is_on_earth
        if not all(on_earth) and (any(on_earth) or own.reference != raster.info.reference):
            raise InvalidOptionError(
                "A map is laid on the grid of another raster by where both lie on the Earth, and "
                "by its CRS not all of one of the two does. Georeference it again."
            )
        a, b, c, d, e, f = own.transform
        xs = [c + a * x + b * y for x in (0, other.width) for y in (0, other.height)]
        ys = [f + d * x + e * y for x in (0, other.width) for y in (0, other.height)]
    box = min(xs), min(ys), max(xs), max(ys)
    if own.reference != raster.info.reference:
        box = transform_bounds(own.reference, raster.info.reference, *box)
    return ",".join(map(repr, box))


def lay_on_grid(
    folder: Path, kind: str, like: Path, info: SourceInfo, legend: Legend | None
) -> tuple[tuple[int, int], SourceInfo]:
    """Put the map `kind` of `folder` onto the grid of `like`; gives its size and place.

    A pixel gets the class that lies at its middle; where the grid's pixels are larger, the most
    frequent one of its area.
    """
    from affine import Affine
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    void = 0 if legend is None else legend.void
    with open_raster(like, bands="1", alone=False) as other:
        grid, size = other.info, (other.height, other.width)
    assert grid.transform is not None
    is_coarser = (grid.pixel_size or 0) > 1.5 * (info.pixel_size or np.inf)
    how = Resampling.nearest
    if is_coarser:
        how = Resampling.average if legend is None else Resampling.mode
    laid = folder / f"like-{kind}.tif"
    with (
        opened_mosaic(folder / f"{kind}.vrt") as dataset,
        WarpedVRT(
            dataset,
            crs=grid.reference,
            transform=Affine(*grid.transform),
            height=size[0],
            width=size[1],
            resampling=how,
            src_nodata=void,
            nodata=void,
            warp_mem_limit=64,
        ) as warped,
        created_part(laid, size[1], size[0], void) as written,
    ):
        for part in chunks(size, _CHUNK, None):
            write_part(written, read_window(warped, part), part.top, part.left)
    place = replace(grid, attributes=info.attributes, significant_bits=None)
    write_mosaic(folder / f"{kind}.vrt", size, [Part(laid, 0, size[0])], place, legend)
    return size, place
