"""Which part of a raster is asked for, and where that lies."""

from dataclasses import replace

from affine import Affine

from service.domain.errors import InvalidOptionError
from service.domain.source import SourceInfo, Window
from service.inputs.raster import Raster
from service.maps.options import parse_box


def wanted_window(raster: Raster, bbox: str | None) -> Window:
    """The raster's pixels that a `bbox` touches, all of them without it. Raises
    InvalidOptionError.
    """
    if bbox is None:
        return Window(0, 0, raster.height, raster.width)
    left, bottom, right, top = parse_box(bbox)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if raster.info.transform is not None:
        to_pixels = ~Affine(*raster.info.transform)
        corners = [to_pixels @ corner for corner in corners]
    slack = 1e-6  # of a pixel: numbers of a box that were rounded touch no further one
    columns = [column for column, _ in corners]
    rows = [row for _, row in corners]
    first_column, first_row = int(max(0, min(columns) + slack)), int(max(0, min(rows) + slack))
    last_column = min(raster.width, -int(-(max(columns) - slack) // 1))
    last_row = min(raster.height, -int(-(max(rows) - slack) // 1))
    if last_column <= first_column or last_row <= first_row:
        raise InvalidOptionError(
            f"`bbox={bbox}` does not touch the raster, which reaches {_reach(raster)}. "
            "It is left,bottom,right,top in the raster's own CRS."
        )
    return Window(first_row, first_column, last_row - first_row, last_column - first_column)


def _reach(raster: Raster) -> str:
    place = Affine(*(raster.info.transform or (1, 0, 0, 0, 1, 0)))
    corners = [place @ (c, r) for c in (0, raster.width) for r in (0, raster.height)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return f"from {min(xs):.10g},{min(ys):.10g} to {max(xs):.10g},{max(ys):.10g}"


def info_of(raster: Raster, window: Window) -> SourceInfo:
    """What the part that is asked for knows of itself."""
    info = raster.info
    if info.transform is None:
        return info
    a, b, c, d, e, f = info.transform
    column, row = window.left, window.top
    moved = a, b, c + a * column + b * row, d, e, f + d * column + e * row
    return replace(info, transform=moved)
