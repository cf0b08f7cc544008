"""`gpkg`: a GeoPackage 1.3 of regions in the raster's own CRS, written by SQLite alone.

OGC 12-128r17: three tables that describe, one of features, whose geometries are a header of
GeoPackage's own and WKB.
"""

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.domain.ground import to_ground
from service.domain.source import SourceInfo
from service.outputs.geo.areas import ClassArea
from service.outputs.geo.rings import Regions, ring_parts
from service.outputs.geo.shapes import Shapes

LAYER, CLASSES = "regions", "classes"
PIXELS = "pixels of the picture: x to the right, y down from its top left corner"

_APPLICATION_ID, _VERSION = 0x47504B47, 10300
_UNDEFINED = -1  # "undefined Cartesian", which every GeoPackage has
_OWN_ID = 100_000  # of a CRS that no authority has a number for
_LITTLE_ENDIAN_WITH_ENVELOPE = 0b011
_WKB_POLYGON = struct.pack("<BI", 1, 3)
_CORNERS_AT_ONCE = 2**18
# 40 bytes of GeoPackage and 5 of WKB, before words that begin where numbers of 4 bytes do.
_HEAD_WORDS, _UNUSED = 12, 3

_TABLES = f"""
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
  description TEXT DEFAULT '', last_change DATETIME NOT NULL, min_x DOUBLE, min_y DOUBLE,
  max_x DOUBLE, max_y DOUBLE, srs_id INTEGER REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL UNIQUE REFERENCES gpkg_contents(table_name),
  column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL,
  srs_id INTEGER NOT NULL REFERENCES gpkg_spatial_ref_sys(srs_id), z TINYINT NOT NULL,
  m TINYINT NOT NULL, PRIMARY KEY (table_name, column_name));
CREATE TABLE {LAYER} (
  fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom POLYGON, class_id INTEGER, class TEXT,
  pixels INTEGER, area_m2 DOUBLE);
CREATE TABLE {CLASSES} (
  fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, class_id INTEGER, class TEXT, color TEXT,
  pixels INTEGER, area_m2 DOUBLE);
"""
_WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
)
_REQUIRED = (
    ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined", None),
    ("Undefined geographic SRS", 0, "NONE", 0, "undefined", None),
    ("WGS 84", 4326, "EPSG", 4326, _WGS84, "longitude and latitude in degrees"),
)


def write_geopackage(
    path: Path,
    shapes: Iterable[Shapes],
    info: SourceInfo,
    contract: Contract,
    areas: Iterable[ClassArea],
    size: tuple[int, int],
) -> None:
    """Write a new file `path`: a layer of regions, and a table of classes. Raises OSError."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            file.execute("PRAGMA journal_mode = OFF")
            file.execute("PRAGMA synchronous = OFF")
            _write(file, shapes, info, contract, areas, size)
    except sqlite3.OperationalError as error:
        raise OSError(f"{path.name} cannot be written: {error}") from error


def geopackage_bytes(
    shapes: Iterable[Shapes],
    info: SourceInfo,
    contract: Contract,
    areas: Iterable[ClassArea],
    size: tuple[int, int],
) -> bytes:
    """The same in memory, without a file on any disk."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as file:
        _write(file, shapes, info, contract, areas, size)
        return file.serialize()


def _write(
    file: sqlite3.Connection,
    shapes: Iterable[Shapes],
    info: SourceInfo,
    contract: Contract,
    areas: Iterable[ClassArea],
    size: tuple[int, int],
) -> None:
    file.execute("BEGIN")
    for statement in filter(str.strip, _TABLES.split(";")):
        file.execute(statement)
    crs = _crs_row(info)
    rows = {row[1]: row for row in (*_REQUIRED, *([] if crs is None else [crs]))}
    file.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)", rows.values())
    srs_id = _UNDEFINED if crs is None else crs[1]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    described = PIXELS if info.transform is None else ""
    file.executemany(
        "INSERT INTO gpkg_contents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (LAYER, "features", LAYER, described, now, *_extent(size, info), srs_id),
            (CLASSES, "attributes", CLASSES, "", now, None, None, None, None, None),
        ],
    )
    file.execute(
        "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'POLYGON', ?, 0, 0)", (LAYER, srs_id)
    )
    named = {one.id: one for one in contract.classes}
    insert = f"INSERT INTO {LAYER} (geom, class_id, class, pixels, area_m2) VALUES (?, ?, ?, ?, ?)"
    for batch in shapes:
        areas_m2 = [None] * len(batch) if batch.area_m2 is None else batch.area_m2.tolist()
        file.executemany(
            insert,
            (
                (geometry, class_id, named[class_id].name, pixels, area_m2)
                for geometry, class_id, pixels, area_m2 in zip(
                    _geometries(batch.regions, info, srs_id),
                    batch.regions.class_ids.tolist(),
                    batch.pixels.tolist(),
                    areas_m2,
                    strict=True,
                )
            ),
        )
    file.executemany(
        f"INSERT INTO {CLASSES} (class_id, class, color, pixels, area_m2) VALUES (?, ?, ?, ?, ?)",
        [(a.class_id, a.name, named[a.class_id].color, a.pixels, a.area_m2) for a in areas],
    )
    file.execute("COMMIT")
    file.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    file.execute(f"PRAGMA user_version = {_VERSION}")


def _geometries(regions: Regions, info: SourceInfo, srs_id: int) -> Iterator[memoryview]:
    """The header of GeoPackage, with the envelope, and WKB.

    All is put in words of 4 bytes: twelve of a polygon's head and one of how many rings it has, one
    of how many points a ring has, four of each point.
    """
    for own, rings, corners in regions.parts(_CORNERS_AT_ONCE):
        part = regions.corners[corners]
        first_corner = regions.first_corner[rings.start : rings.stop + 1] - corners.start
        first_ring = regions.first_ring[own] - rings.start
        counts = np.diff(first_corner)
        sizes = 4 * counts + 1
        sizes[first_ring] += _HEAD_WORDS + 1
        before_rings = np.cumsum(sizes) - 4 * counts - 1
        before_polygons = before_rings[first_ring] - 1
        words = np.empty(int(sizes.sum()), np.uint32)
        heads = before_polygons[:, np.newaxis] - np.arange(_HEAD_WORDS, 0, -1)
        is_point = np.ones(len(words), np.bool_)
        is_point[before_rings] = is_point[before_polygons] = is_point[heads] = False
        words[before_rings] = counts
        words[before_polygons] = np.diff(np.append(first_ring, len(counts)))
        words[heads] = _heads(part, first_corner, first_ring, info, srs_id)
        ends = before_rings + 1 + 4 * counts
        for some, of_them in ring_parts(first_corner, _CORNERS_AT_ONCE):
            there = slice(int(before_rings[some.start]), int(ends[some.stop - 1]))
            points = _on_ground(part[of_them], info)
            words[there][is_point[there]] = points.view(np.uint32).reshape(-1)
        del is_point
        body, ends = words.data.cast("B"), ends[np.append(first_ring[1:], len(counts)) - 1]
        for first, behind in zip(heads[:, 0].tolist(), ends.tolist(), strict=True):
            yield body[4 * first + _UNUSED : 4 * behind]


def _heads(
    corners: NDArray[np.int32],
    first_corner: NDArray[np.int64],
    first_ring: NDArray[np.int64],
    info: SourceInfo,
    srs_id: int,
) -> NDArray[np.uint32]:
    """(n, _HEAD_WORDS) of n polygons, with the envelopes of their exteriors."""
    lengths = np.diff(first_corner)[first_ring]
    starts = np.cumsum(lengths) - lengths
    within = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    exteriors = corners[np.repeat(first_corner[first_ring], lengths) + within]
    points = _on_ground(exteriors, info)
    least, most = (end.reduceat(points, starts) for end in (np.minimum, np.maximum))
    envelopes = np.stack((least[:, 0], most[:, 0], least[:, 1], most[:, 1]), axis=-1)
    said = struct.pack("<2sBBi", b"GP", 0, _LITTLE_ENDIAN_WITH_ENVELOPE, srs_id)
    heads = np.zeros((len(starts), 4 * _HEAD_WORDS), np.uint8)
    box = slice(_UNUSED + len(said), _UNUSED + len(said) + 32)
    heads[:, _UNUSED : box.start] = np.frombuffer(said, np.uint8)
    heads[:, box] = envelopes.astype("<f8").view(np.uint8)
    heads[:, box.stop :] = np.frombuffer(_WKB_POLYGON, np.uint8)
    return heads.view(np.uint32)


def _on_ground(corners: NDArray[np.int32], info: SourceInfo) -> NDArray[np.float64]:
    points = corners.astype(np.float64)
    if info.transform is None:
        return points
    return np.ascontiguousarray(to_ground(info.transform, points[:, 0], points[:, 1]))


def _crs_row(info: SourceInfo) -> tuple[str, int, str, int, str, None] | None:
    """Of gpkg_spatial_ref_sys; None where the raster has no CRS."""
    if info.reference is None:
        return None
    from rasterio.crs import CRS

    crs = CRS.from_wkt(info.reference)
    authority = crs.to_authority()
    if authority is not None and authority[1].isdecimal():
        name, code = authority[0], int(authority[1])
    else:
        name, code = "NONE", _OWN_ID
    title = info.reference.split('"')[1] if '"' in info.reference else "unnamed"
    return title, code, name, code, info.reference, None


def _extent(size: tuple[int, int], info: SourceInfo) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of the whole map."""
    height, width = size
    columns, rows = np.array([0.0, width, width, 0.0]), np.array([0.0, 0.0, height, height])
    corners = np.stack((columns, rows), axis=-1)
    if info.transform is not None:
        corners = to_ground(info.transform, columns, rows)
    left, bottom = corners.min(axis=0).tolist()
    right, top = corners.max(axis=0).tolist()
    return left, bottom, right, top
