"""Polygons with classes, as a GeoPackage (OGC 12-128r19) or a GeoJSON (RFC 7946) has them."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError
from shapely import MultiPolygon, Polygon

from models.data.dataset import DatasetError
from models.data.layouts.json_files import load_json
from models.data.names import counted, tidy

SUFFIXES = frozenset({".gpkg", ".geojson"})
# What columns of classes are called, by anybody.
_FIELDS = (
    "class",
    "class_name",
    "classname",
    "label",
    "category",
    "klass",
    "classe",
    "type",
    "name",
)
_LON_LAT = CRS.from_epsg(4326)
_ENVELOPE_BYTES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
_HEADER_BYTES = 8


@dataclass
class VectorFile:
    """What was read: polygons in `crs`, the properties of each, and what was left out."""

    path: Path
    crs: CRS
    geometries: list[shapely.Geometry] = field(default_factory=list)
    properties: list[Mapping[str, Any]] = field(default_factory=list)
    others: int = 0  # lines, points, and what has no geometry

    def add(self, geometry: shapely.Geometry | None, properties: Mapping[str, Any]) -> None:
        if not isinstance(geometry, Polygon | MultiPolygon):
            self.others += 1
        elif not geometry.is_empty:
            self.geometries.append(shapely.force_2d(geometry))
            self.properties.append(properties)

    def names(self, asked: str | None, known: Sequence[str]) -> list[str]:
        """The class of each polygon: by the column `asked` for, else by the one that is called as
        columns of classes are. Raises DatasetError where that is none or several.
        """
        column = asked or self._column({*known})
        names = [
            tidy(str(of.get(column, "") if of.get(column) is not None else ""))
            for of in self.properties
        ]
        empty = sum(not name for name in names)
        if empty:
            raise DatasetError(
                f"{self.path}: {counted(empty, 'polygon')} of {len(names)} have nothing in the "
                f"column {column!r}; write their class there, or take them out"
            )
        return names

    def _column(self, known: set[str]) -> str:
        columns = list(dict.fromkeys(name for of in self.properties for name in of))
        likely = [name for name in columns if name.casefold() in _FIELDS]
        fitting = [name for name in columns if known and self._is_of(name, known)]
        for choice in (fitting, likely):
            if len(choice) == 1:
                return choice[0]
        told = f"its columns are {', '.join(columns)}" if columns else "it has no columns"
        raise DatasetError(
            f"{self.path}: no one column is sure to hold the classes ({told}); say which one does "
            "with --label-field (layout.label_field)"
        )

    def _is_of(self, column: str, known: set[str]) -> bool:
        values = {tidy(str(of[column])) for of in self.properties if of.get(column) is not None}
        return bool(values) and values <= known


def is_ground_vector(path: Path) -> bool:
    """Whether it is a GeoPackage, or a GeoJSON of something else than QuPath's objects."""
    if path.suffix.lower() == ".gpkg":
        return True
    if path.suffix.lower() != ".geojson":
        return False
    try:
        features = list(_features(path, load_json(path)))
    except DatasetError:
        return False
    return not any(_is_of_qupath(feature) for feature in features)


def _is_of_qupath(feature: Mapping[str, Any]) -> bool:
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        return False
    return "objectType" in properties or isinstance(properties.get("classification"), dict)


def read_vector(path: Path) -> VectorFile:
    """Read the polygons of a file. Raises DatasetError."""
    return _geopackage(path) if path.suffix.lower() == ".gpkg" else _geojson(path)


# ---- GeoJSON


def _features(path: Path, document: Any) -> Iterator[Mapping[str, Any]]:
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not all(isinstance(one, dict) for one in features):
        raise DatasetError(f"{path} is no FeatureCollection; export it again as GeoJSON")
    yield from features


def _geojson(path: Path) -> VectorFile:
    document = load_json(path)
    found = VectorFile(path, _stated_crs(path, document))
    for number, feature in enumerate(_features(path, document)):
        geometry = feature.get("geometry")
        properties = feature.get("properties") or {}
        try:
            shape = None if geometry is None else shapely.from_geojson(json.dumps(geometry))
        except (shapely.errors.GEOSException, TypeError, ValueError) as error:
            raise DatasetError(
                f"{path}: the geometry of features[{number}] is not as RFC 7946 has it ({error})"
            ) from error
        if not isinstance(properties, dict):
            raise DatasetError(f"{path}: the properties of features[{number}] are no object")
        found.add(shape, properties)
    _require_lon_lat(found)
    return found


def _stated_crs(path: Path, document: Mapping[str, Any]) -> CRS:
    """Longitude and latitude, or what the member `crs` of GeoJSON's draft of 2008 says, as GDAL and
    QGIS write it still."""
    stated = document.get("crs")
    if stated is None:
        return _LON_LAT
    try:
        name = str(stated["properties"]["name"])
        if name.endswith(("CRS84", "EPSG::4326")):
            return _LON_LAT
        return CRS.from_user_input(name)
    except (KeyError, TypeError, CRSError) as error:
        raise DatasetError(
            f"{path}: its crs {stated!r} is not known; export it in WGS 84, or as a GeoPackage"
        ) from error


def _require_lon_lat(found: VectorFile) -> None:
    if not found.geometries or found.crs != _LON_LAT:
        return
    left, bottom, right, top = shapely.total_bounds(np.array(found.geometries, np.object_))
    if min(left, bottom) < -360 or max(right, top) > 360 or bottom < -90 or top > 90:
        raise DatasetError(
            f"{found.path}: a GeoJSON without crs has longitudes and latitudes, and coordinates "
            f"reach from {left:g}, {bottom:g} to {right:g}, {top:g}; export it in WGS 84, or as a "
            "GeoPackage, which says its CRS"
        )


# ---- GeoPackage


def _geopackage(path: Path) -> VectorFile:
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
        try:
            return _layer(path, connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatasetError(
            f"{path} cannot be read as a GeoPackage ({error}); export it again, or close the "
            "program that has it open"
        ) from error


def _layer(path: Path, connection: sqlite3.Connection) -> VectorFile:
    layers = connection.execute(
        "SELECT g.table_name, g.column_name, s.organization, s.organization_coordsys_id, "
        "s.definition FROM gpkg_geometry_columns g "
        "JOIN gpkg_spatial_ref_sys s ON s.srs_id = g.srs_id ORDER BY g.table_name"
    ).fetchall()
    if len(layers) != 1:
        told = ", ".join(repr(layer[0]) for layer in layers[:6]) or "none"
        raise DatasetError(
            f"{path} has {counted(len(layers), 'layer')} ({told}); save the one with the labels in "
            "a GeoPackage of its own"
        )
    table, column, organization, code, definition = layers[0]
    found = VectorFile(path, _crs_of(path, str(organization), code, str(definition)))
    rows = connection.execute(f'SELECT * FROM "{str(table).replace(chr(34), chr(34) * 2)}"')
    names = [description[0] for description in rows.description]
    for number, row in enumerate(rows):
        properties = dict(zip(names, row, strict=True))
        blob = properties.pop(column)
        found.add(None if blob is None else _geometry(path, number, blob), properties)
    return found


def _crs_of(path: Path, organization: str, code: Any, definition: str) -> CRS:
    try:
        if organization.upper() == "EPSG":
            return CRS.from_epsg(int(code))
        return CRS.from_wkt(definition)
    except (CRSError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: its CRS ({organization} {code}) is not known; save it in another"
        ) from error


def _geometry(path: Path, number: int, blob: Any) -> shapely.Geometry | None:
    """Of a blob with the header of section 2.1.3; None for an empty one."""
    try:
        if not isinstance(blob, bytes) or blob[:2] != b"GP":
            raise ValueError("it has no GeoPackage header")
        flags = blob[3]
        if flags & 0x10:
            return None
        return shapely.from_wkb(blob[_HEADER_BYTES + _ENVELOPE_BYTES[flags >> 1 & 7] :])
    except (ValueError, KeyError, IndexError, shapely.errors.GEOSException) as error:
        raise DatasetError(
            f"{path}: the geometry of row {number + 1} is damaged ({error})"
        ) from error
