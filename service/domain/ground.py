"""Where pixels lie on the Earth, and how large they are there.

Areas are measured in an equal-area projection of the ellipsoid: those of a grid are right for no
grid but an equal-area one (Web Mercator's are 2.6 times the truth at 52° N).
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

Transform = tuple[float, float, float, float, float, float]
Coordinates = NDArray[np.float64]

EQUAL_AREA = "EPSG:6933"  # of the whole Earth, in which a pole is a line
# In which a pole is a point, by its latitude.
_AT_POLE = {90.0: "EPSG:6931", -90.0: "EPSG:6932"}
LON_LAT = "EPSG:4326"
# EPSG:6933 in meters once around: 2π · semi-major axis · cos 30° / √(1 − e² sin² 30°).
_AROUND = (
    2
    * math.pi
    * 6378137.0
    * math.cos(math.radians(30.0))
    / math.sqrt(1 - 0.0066943799901413165 * 0.25)
)


# Degrees: a grid whose first row is the pole's has half a pixel behind it, which is no ground.
_OVER_A_POLE = 1.25
_PARTS = 8  # of each side, of which the ends are looked at


def to_ground(transform: Transform, columns: Coordinates, rows: Coordinates) -> Coordinates:
    """Corners of pixels in the CRS's own units, (n, 2) as x, y."""
    a, b, c, d, e, f = transform
    return np.stack((a * columns + b * rows + c, d * columns + e * rows + f), axis=-1)


def reproject(points: Coordinates, source: str, target: str) -> Coordinates:
    """Points (n, 2), x before y and longitude before latitude, in another CRS (WKT or EPSG code).
    Those that have no place in it become infinite, where PROJ says so by an error all of them.
    """
    from rasterio._err import CPLE_BaseError  # what warp.transform raises, in no public module
    from rasterio.crs import CRS
    from rasterio.warp import transform

    if not len(points):
        return points
    x, y = points[:, 0], points[:, 1]
    if 90 < np.abs(y).max() <= 90 + _OVER_A_POLE and CRS.from_string(source).is_geographic:
        y = y.clip(-90, 90)
    try:
        x, y = transform(source, target, x, y)
    except CPLE_BaseError:
        return np.full(points.shape, np.inf)
    return np.stack((np.asarray(x, np.float64), np.asarray(y, np.float64)), axis=-1)


def lies_on_earth(transform: Transform, crs: str, height: int, width: int) -> bool:
    """Whether each part of a raster has a longitude and latitude: not in a CRS of an engineer's own
    or of a satellite's whole view, nor by numbers that the CRS does not have.
    """
    from rasterio.crs import CRS

    known = CRS.from_wkt(crs)
    if not (known.is_geographic or known.is_projected):
        return False
    parts = np.linspace(0.0, 1.0, _PARTS + 1)
    columns, rows = np.meshgrid(parts * width, parts * height)
    points = to_ground(transform, columns.reshape(-1), rows.reshape(-1))
    return bool(np.isfinite(reproject(points, crs, EQUAL_AREA)).all())


@functools.lru_cache(maxsize=16)
def equal_area(transform: Transform, crs: str) -> str:
    """The CRS that a raster's areas are measured in: one in which straight lines of its grid are
    nearly straight. Where a pole is a point of the grid it is one for that pole, of two the nearer.
    """
    origin, found = np.array([transform[2], transform[5]]), {}
    for latitude, polar in _AT_POLE.items():
        ends = reproject(np.array([[0.0, latitude], [90.0, latitude]]), LON_LAT, crs)
        if np.isfinite(ends).all() and np.allclose(ends[0], ends[1], rtol=1e-9, atol=1e-3):
            found[polar] = float(np.hypot(*(ends[0] - origin)))
    return min(found, key=found.__getitem__, default=EQUAL_AREA)


def pole_of(transform: Transform, crs: str) -> float | None:
    """The latitude of the pole that `equal_area` is one for, if it is one for a pole."""
    measured = equal_area(transform, crs)
    return next((latitude for latitude, polar in _AT_POLE.items() if polar == measured), None)


def unwrapped_path(x: Coordinates, around: float = _AROUND) -> Coordinates:
    """Coordinates (n) of points along a line, each less than half the way around from the one
    before it, without the jump at the antimeridian."""
    step = (np.diff(x) + around / 2) % around - around / 2
    path: Coordinates = x[0] + np.append(0.0, np.cumsum(step))
    return path


def unwrapped(x: Coordinates) -> Coordinates:
    """Coordinates (…, n) of EPSG:6933 along lines, without the jump at the antimeridian; those of
    other CRSs, whose neighbors lie less than half its width apart, as they are."""
    first = x[..., :1]
    away: Coordinates = (x - first + _AROUND / 2) % _AROUND - _AROUND / 2
    return first + away


def quads_area(corners: Coordinates) -> Coordinates:
    """The area (n, m) in m² within each cell of a net of points (n + 1, m + 1, 2), which are in the
    CRS that `equal_area` says."""
    x, y = corners[..., 0], corners[..., 1]
    ring = (np.s_[:-1, :-1], np.s_[:-1, 1:], np.s_[1:, 1:], np.s_[1:, :-1])
    xs = unwrapped(np.stack([x[part] for part in ring], axis=-1))
    ys = np.stack([y[part] for part in ring], axis=-1)
    # From the first corner: far from the origin, products of coordinates have no digits left.
    xs, ys = xs - xs[..., :1], ys - ys[..., :1]
    twice = (xs * np.roll(ys, -1, axis=-1) - np.roll(xs, -1, axis=-1) * ys).sum(axis=-1)
    area: Coordinates = np.abs(twice) / 2
    return area


def true_pixel_size(transform: Transform, crs: str, height: int, width: int) -> float | None:
    """The side in meters of a square with the area of the middle pixel; None where it has no place
    on the Earth.
    """
    columns, rows = np.meshgrid(
        width / 2 + np.array([-0.5, 0.5]), height / 2 + np.array([-0.5, 0.5])
    )
    points = to_ground(transform, columns.reshape(-1), rows.reshape(-1))
    net = reproject(points, crs, equal_area(transform, crs)).reshape(2, 2, 2)
    if not np.isfinite(net).all():
        return None
    area = float(quads_area(net)[0, 0])
    return math.sqrt(area) if area > 0 else None
