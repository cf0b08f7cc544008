"""`geojson`: RFC 7946, longitude and latitude, a Feature a region."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from models.contract import Contract
from service.domain.errors import InvalidOptionError
from service.domain.ground import LON_LAT, reproject, to_ground, unwrapped_path
from service.domain.source import SourceInfo
from service.outputs.geo.areas import densified
from service.outputs.geo.rings import Regions
from service.outputs.geo.shapes import Shapes

_DECIMALS = 7  # a centimeter
_TURN = 360.0
_WIDE = 90.0  # degrees, or a jump at the antimeridian
_CORNERS_AT_ONCE = 2**17


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
    assert info.transform is not None
    assert info.reference is not None
    for own, rings, corners in regions.parts(_CORNERS_AT_ONCE):
        pixels = regions.corners[corners].astype(np.float64)
        ground = to_ground(info.transform, pixels[:, 0], pixels[:, 1])
        points = reproject(ground, info.reference, LON_LAT)
        starts = (regions.first_corner[rings] - corners.start).tolist()
        ends = [*starts[1:], len(points)]
        first_ring = (regions.first_ring[own] - rings.start).tolist()
        for first, behind in zip(first_ring, [*first_ring[1:], len(starts)], strict=True):
            own_rings = [np.s_[starts[n] : ends[n]] for n in range(first, behind)]
            lon_lat = [points[ring] for ring in own_rings]
            if np.ptp(lon_lat[0][:, 0]) < _WIDE:
                near = [_near(ring[:, 0], lon_lat[0][0, 0]) for ring in lon_lat]
            else:
                near = _unwrapped([pixels[ring] for ring in own_rings], info)
            yield _geometry(
                [np.column_stack((x, ring[:, 1])) for x, ring in zip(near, lon_lat, strict=True)]
            )


def _unwrapped(rings: list[NDArray[np.float64]], info: SourceInfo) -> list[NDArray[np.float64]]:
    """The longitudes of rings of pixels' corners, which may reach more than half around the Earth:
    followed along the way, the holes within what is around them."""
    assert info.transform is not None
    assert info.reference is not None
    found: list[NDArray[np.float64]] = []
    for ring in rings:
        dense, corners = densified(ring)
        ground = to_ground(info.transform, dense[:, 0], dense[:, 1])
        path = unwrapped_path(reproject(ground, info.reference, LON_LAT)[:, 0], _TURN)[corners]
        if found:
            away = (path.min() + path.max() - found[0].min() - found[0].max()) / 2
            within = [
                path + turn * _TURN
                for turn in np.round(-away / _TURN) + np.array([0, -1, 1])
                if found[0].min() - 1 < path.min() + turn * _TURN
                and path.max() + turn * _TURN < found[0].max() + 1
            ]
            path = within[0] if within else path
        found.append(path)
    return found


def _geometry(rings: list[NDArray[np.float64]]) -> dict[str, Any]:
    longitudes = rings[0][:, 0]
    if np.abs(longitudes).max() <= 180 + 10.0**-_DECIMALS / 2:
        return {"type": "Polygon", "coordinates": _wound(rings)}
    return _cut(rings)


def _near(longitudes: NDArray[np.float64], first: float) -> NDArray[np.float64]:
    """The same meridians, without a jump at the antimeridian."""
    return np.asarray((longitudes - first + _TURN / 2) % _TURN - _TURN / 2 + first)


def _cut(rings: list[NDArray[np.float64]]) -> dict[str, Any]:
    """Where it crosses the antimeridian (section 3.1.9)."""
    whole = shapely.make_valid(shapely.Polygon(rings[0], rings[1:]))
    parts: list[shapely.Polygon] = []
    for turn in (-1, 0, 1):
        box = shapely.box(turn * _TURN - 180, -90, turn * _TURN + 180, 90)
        # Without what is thinner than the decimals: a side that is but for them on the meridian.
        cut = shapely.set_precision(shapely.intersection(whole, box), 10.0**-_DECIMALS)
        for part in shapely.get_parts(cut):
            if isinstance(part, shapely.Polygon) and not part.is_empty:
                parts.append(shapely.transform(part, lambda xy, t=turn: xy - [t * _TURN, 0]))  # type: ignore[misc]
    coordinates = [
        _wound([shapely.get_coordinates(ring) for ring in (part.exterior, *part.interiors)])
        # All around the Earth its ends meet.
        for part in shapely.get_parts(shapely.union_all(parts))
    ]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _wound(rings: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """By the right-hand rule, rounded."""
    wound = []
    for place, ring in enumerate(rings):
        x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
        is_counter_clockwise = float(x[:-1] @ y[1:] - x[1:] @ y[:-1]) > 0
        turned = ring if is_counter_clockwise == (place == 0) else ring[::-1]
        wound.append(np.ascontiguousarray(np.round(turned, _DECIMALS)))
    return wound
