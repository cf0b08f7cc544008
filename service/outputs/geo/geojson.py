"""`geojson`: RFC 7946, longitude and latitude, a Feature a region."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from models.contract import Contract
from service.domain.errors import InvalidOptionError
from service.domain.ground import LON_LAT, pole_of, reproject, to_ground, unwrapped_path
from service.domain.source import SourceInfo
from service.outputs.geo.areas import densified
from service.outputs.geo.rings import Regions
from service.outputs.geo.shapes import Shapes

_DECIMALS = 7  # a centimeter
_GRID = 10.0**-_DECIMALS
_TURN = 360.0
_WIDE = 90.0  # degrees, or a jump at the antimeridian
_CORNERS_AT_ONCE = 2**17
# Pixels. An edge that is straight in the raster's grid is bent in degrees: longer ones get corners
# where they would be off by more, but no more than one a pixel.
_STRAIGHT_EDGE, _MOST_OFF = 8.0, 0.25


def refuse_without_crs(info: SourceInfo) -> None:
    """Raises InvalidOptionError."""
    if info.transform is None or info.reference is None:
        raise InvalidOptionError(
            "GeoJSON is longitude and latitude (RFC 7946), and the picture does not say where on "
            "the ground it lies. Ask for `polygons`, which are in pixels, or georeference it."
        )
    if not info.is_on_earth:
        raise InvalidOptionError(
            "GeoJSON is longitude and latitude (RFC 7946), which not all of the picture has by its "
            "CRS. Ask for `gpkg`, which is in the CRS, or `polygons`, which are in pixels, or "
            "georeference it again."
        )


def write_geojson(
    shapes: Iterable[Shapes], info: SourceInfo, contract: Contract, head: dict[str, Any]
) -> Iterator[bytes]:
    """A FeatureCollection in pieces; `head` are members of it beside the features."""
    yield orjson.dumps({"type": "FeatureCollection", **head})[:-1] + b',"features":[\n'
    comma = b""
    for batch in shapes:
        areas = [None] * len(batch) if batch.area_m2 is None else batch.area_m2.tolist()
        for geometry, class_id, pixels, area in zip(
            _geometries(batch.regions, info),
            batch.regions.class_ids.tolist(),
            batch.pixels.tolist(),
            areas,
            strict=True,
        ):
            known = contract.classes[class_id]
            said = {"class_id": known.id, "class": known.name, "color": known.color}
            area_m2 = {} if area is None else {"area_m2": round(area, 4)}
            feature = {
                "type": "Feature",
                "properties": said | {"pixels": pixels} | area_m2,
                "geometry": geometry,
            }
            yield comma + orjson.dumps(feature, option=orjson.OPT_SERIALIZE_NUMPY)
            comma = b",\n"
    yield b"\n]}\n"


def _geometries(regions: Regions, info: SourceInfo) -> Iterator[dict[str, Any]]:
    for own, rings, corners in regions.parts(_CORNERS_AT_ONCE):
        pixels = regions.corners[corners].astype(np.float64)
        points = _on_earth(pixels, info)
        first_corner = regions.first_corner[rings] - corners.start
        pixels, points, first_corner = _bent(pixels, points, first_corner, info)
        starts = first_corner.tolist()
        ends = [*starts[1:], len(points)]
        first_ring = (regions.first_ring[own] - rings.start).tolist()
        for first, behind in zip(first_ring, [*first_ring[1:], len(starts)], strict=True):
            own_rings = [np.s_[starts[n] : ends[n]] for n in range(first, behind)]
            lon_lat = [points[ring] for ring in own_rings]
            if np.ptp(lon_lat[0][:, 0]) < _WIDE:
                near = [_near(ring[:, 0], lon_lat[0][0, 0]) for ring in lon_lat]
                yield _geometry(
                    [np.column_stack((x, r[:, 1])) for x, r in zip(near, lon_lat, strict=True)]
                )
            else:
                yield _cut([_followed(pixels[ring], points[ring, 1], info) for ring in own_rings])


def _on_earth(pixels: NDArray[np.float64], info: SourceInfo) -> NDArray[np.float64]:
    """The longitudes and latitudes (n, 2) of pixels' corners (n, 2)."""
    assert info.transform is not None
    assert info.reference is not None
    ground = to_ground(info.transform, pixels[:, 0], pixels[:, 1])
    return reproject(ground, info.reference, LON_LAT)


def _bent(
    pixels: NDArray[np.float64],
    points: NDArray[np.float64],
    starts: NDArray[np.int64],
    info: SourceInfo,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Rings with corners on their edges that are bent in degrees: those of pixels, their longitudes
    and latitudes, and where each ring begins."""
    ahead = np.diff(pixels, axis=0)
    length = np.abs(ahead).max(axis=1, initial=0)
    length[starts[1:] - 1] = 0  # from the end of a ring to the next
    long = np.flatnonzero(length > _STRAIGHT_EDGE)

    def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        away = other - one
        away[:, 0] = _near(away[:, 0], 0.0)
        return away

    middles = _on_earth(pixels[long] + ahead[long] / 2, info)
    edge, half = apart(points[long], points[long + 1]), apart(points[long], middles)
    narrow = np.cos(np.radians(middles[:, 1]))
    off, of_edge = (np.hypot(part[:, 0] * narrow, part[:, 1]) for part in (half - edge / 2, edge))
    allowed = _MOST_OFF * of_edge / length[long]
    parts = np.ones(len(length), np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.ceil(np.sqrt(off / allowed))
    parts[long] = np.clip(np.nan_to_num(wanted, nan=1, posinf=np.inf), 1, length[long])
    if (parts == 1).all():
        return pixels, points, starts
    of_edge_number = np.repeat(np.arange(len(parts)), parts - 1)
    first = np.cumsum(parts - 1) - (parts - 1)
    share = (np.arange(len(of_edge_number)) - first[of_edge_number] + 1) / parts[of_edge_number]
    added = pixels[of_edge_number] + share[:, np.newaxis] * ahead[of_edge_number]
    before = np.append(first, first[-1] + parts[-1] - 1)
    return (
        np.insert(pixels, of_edge_number + 1, added, axis=0),
        np.insert(points, of_edge_number + 1, _on_earth(added, info), axis=0),
        starts + before[starts],
    )


def _followed(
    ring: NDArray[np.float64], latitudes: NDArray[np.float64], info: SourceInfo
) -> NDArray[np.float64]:
    """Longitudes and latitudes (n, 2) of a ring of pixels' corners, which may reach more than half
    around the Earth, followed along its way. One around a pole goes on to it and back."""
    assert info.transform is not None
    assert info.reference is not None
    dense, corners = densified(ring)
    path = unwrapped_path(_on_earth(dense, info)[:, 0], _TURN)[corners]
    found = np.column_stack((path, latitudes))
    pole = pole_of(info.transform, info.reference)
    if pole is None or abs(path[-1] - path[0]) < _TURN / 2:
        return found
    return np.concatenate((found, [(path[-1], pole), (path[0], pole)], found[:1]))


def _geometry(rings: list[NDArray[np.float64]]) -> dict[str, Any]:
    longitudes = rings[0][:, 0]
    if np.abs(longitudes).max() <= 180 + _GRID / 2:
        return {"type": "Polygon", "coordinates": _wound(rings)}
    return _cut(rings)


def _near(longitudes: NDArray[np.float64], first: float) -> NDArray[np.float64]:
    """The same meridians, without a jump at the antimeridian."""
    return np.asarray((longitudes - first + _TURN / 2) % _TURN - _TURN / 2 + first)


def _cut(rings: list[NDArray[np.float64]]) -> dict[str, Any]:
    """Where it crosses the antimeridian (section 3.1.9)."""
    exterior, holes = _within_a_turn(rings[0]), map(_within_a_turn, rings[1:])
    hole = shapely.union_all(list(holes), grid_size=_GRID)
    left = shapely.difference(exterior, hole, grid_size=_GRID)
    coordinates = [
        _wound([shapely.get_coordinates(ring) for ring in (part.exterior, *part.interiors)])
        for part in shapely.get_parts(left)
        if isinstance(part, shapely.Polygon) and not part.is_empty
    ]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _within_a_turn(ring: NDArray[np.float64]) -> shapely.Geometry:
    """What is within a ring, each part of it between -180 and 180 degrees."""
    mended = shapely.get_parts(shapely.make_valid(shapely.Polygon(ring)))
    whole = shapely.union_all(mended[shapely.get_dimensions(mended) == 2])  # no line it leaves
    parts: list[shapely.Geometry] = []
    for turn in range(-2, 3):
        box = shapely.box(turn * _TURN - 180, -90, turn * _TURN + 180, 90)
        # Without what is thinner than the decimals: a side that is but for them on the meridian.
        cut = shapely.intersection(whole, box, grid_size=_GRID)
        for part in shapely.get_parts(cut):
            if isinstance(part, shapely.Polygon) and not part.is_empty:
                parts.append(shapely.transform(part, lambda xy, t=turn: xy - [t * _TURN, 0]))  # type: ignore[misc]
    return shapely.union_all(parts, grid_size=_GRID)  # all around the Earth its ends meet


def _wound(rings: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """By the right-hand rule, rounded."""
    wound = []
    for place, ring in enumerate(rings):
        x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
        is_counter_clockwise = float(x[:-1] @ y[1:] - x[1:] @ y[:-1]) > 0
        turned = ring if is_counter_clockwise == (place == 0) else ring[::-1]
        wound.append(np.ascontiguousarray(np.round(turned, _DECIMALS)))
    return wound
