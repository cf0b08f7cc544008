"""What a map can be written as, by the names that callers give."""

from typing import Final, NamedTuple

from service.maps.job import FORMATS


class MapFormat(NamedTuple):
    media_type: str
    extension: str


_ALL: Final = {
    "geotiff": MapFormat("image/tiff; application=geotiff; profile=cloud-optimized", ".tif"),
    "geojson": MapFormat("application/geo+json", ".geojson"),
    "gpkg": MapFormat("application/geopackage+sqlite3", ".gpkg"),
    "confidence": MapFormat("image/tiff", ".confidence.tif"),
}
MAP_FORMATS: Final[dict[str, MapFormat]] = {
    name: row for name, row in _ALL.items() if name in FORMATS
}
# A name that is also that of a picture's format is a map's beside one of these alone.
_OF_MAPS_ALONE: Final = frozenset({"geotiff", "geojson", "gpkg"})


def map_formats(names: str) -> list[str] | None:
    """The formats in "geotiff,gpkg"; None where they are no map's."""
    given = [name.strip() for name in names.split(",")]
    known = all(name in MAP_FORMATS for name in given) and len(given) == len(set(given))
    return given if known and _OF_MAPS_ALONE & set(given) else None
