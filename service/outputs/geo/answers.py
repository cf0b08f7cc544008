"""`geotiff`, `geojson` and `gpkg` of one upload: what a map is written as, in memory."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.domain.classes import kept_ids, void_id
from service.domain.errors import InvalidOptionError
from service.domain.segmentation import Segmentation
from service.domain.source import SourceInfo, Window
from service.outputs.geo.areas import class_areas
from service.outputs.geo.cog import cog_bytes
from service.outputs.geo.geojson import refuse_without_crs, write_geojson
from service.outputs.geo.geopackage import geopackage_bytes
from service.outputs.geo.mosaic import Legend
from service.outputs.geo.regions import find_regions
from service.outputs.geo.shapes import Shapes, shapes_of
from service.outputs.output import Output, RasterOptions
from service.outputs.polygons import refuse_noise


class RegionOptions(RasterOptions):
    """Of formats that hold regions of the ground."""

    min_area: float = Field(
        default=0.0,
        ge=0,
        description=(
            "Of polygons: leave out regions and fill holes of less than this, in m²; in pixels "
            "where the raster has no CRS."
        ),
        examples=[25],
    )
    tolerance: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Of polygons: simplify rings so that they move by at most this many pixels.",
        examples=[1.5],
    )


class GeoJsonOptions(RegionOptions):
    def check_place(self, info: SourceInfo) -> None:
        refuse_without_crs(info)


class GeoPackageOptions(RegionOptions):
    def check_place(self, info: SourceInfo) -> None:
        if info.transform is None:
            raise InvalidOptionError(
                "A GeoPackage is of the ground, and the picture does not say where on it it lies. "
                "Ask for `polygons`, which are in pixels, or georeference it."
            )


def encode_geotiff(segmentation: Segmentation, _options: RasterOptions) -> Iterator[bytes]:
    """A Cloud Optimized GeoTIFF, where the raster lies."""
    model = segmentation.model
    legend = Legend.of(model.contract, model.id)
    yield cog_bytes(_without_voids(segmentation), segmentation.source, legend)


def encode_geojson(segmentation: Segmentation, options: GeoJsonOptions) -> Iterator[bytes]:
    """RFC 7946, a Feature a region."""
    model, info = segmentation.model, segmentation.source
    class_map = _without_voids(segmentation)
    areas = class_areas(_reader(class_map), class_map.shape, info, model.contract)
    head = {"model": model.id, "classes": [area.as_json() for area in areas]}
    shapes = _shapes(class_map, segmentation, options)
    return write_geojson(shapes, info, model.contract, head)


def encode_geopackage(segmentation: Segmentation, options: GeoPackageOptions) -> Iterator[bytes]:
    """A layer of regions and a table of classes, in the raster's CRS."""
    contract, info = segmentation.model.contract, segmentation.source
    class_map = _without_voids(segmentation)
    areas = class_areas(_reader(class_map), class_map.shape, info, contract)
    shapes = _shapes(class_map, segmentation, options)
    yield geopackage_bytes(shapes, info, contract, areas, class_map.shape)


def _without_voids(segmentation: Segmentation) -> NDArray[np.uint8]:
    """The class map (H, W), where the raster has no picture of the id that says so."""
    class_map, valid = segmentation.class_map, segmentation.source.valid
    if valid is not None:
        void = void_id(segmentation.model.contract)
        assert void is not None  # a raster with voids is refused where there is none
        class_map[~valid] = void
    return class_map


def _shapes(
    class_map: NDArray[np.uint8], segmentation: Segmentation, options: RegionOptions
) -> Iterator[Shapes]:
    refuse_noise([class_map])
    kept = kept_ids(segmentation.model.contract, options.classes)
    regions = find_regions([class_map], kept)
    return shapes_of(regions, segmentation.source, options.min_area, options.tolerance)


def _reader(class_map: NDArray[np.uint8]) -> Callable[[Window], NDArray[np.uint8]]:
    return lambda w: class_map[w.top : w.top + w.height, w.left : w.left + w.width]


_ON_GROUND = "Of a GeoTIFF, BigTIFF or COG, void left out."

GEOTIFF = Output(
    name="geotiff",
    title="GeoTIFF",
    extensions={"image/tiff; application=geotiff; profile=cloud-optimized": ".classes.tif"},
    options=RasterOptions,
    description=(
        "Cloud Optimized GeoTIFF of class ids with palette and names, which lies where its raster "
        f"lies. {_ON_GROUND}"
    ),
    encode=encode_geotiff,
)
GEOJSON = Output(
    name="geojson",
    title="GeoJSON",
    extensions={"application/geo+json": ".geojson"},
    options=GeoJsonOptions,
    description=(
        "GeoJSON (RFC 7946) in longitude and latitude: a Polygon a connected region, with its area "
        f"in m². {_ON_GROUND}"
    ),
    encode=encode_geojson,
)
GPKG = Output(
    name="gpkg",
    title="GeoPackage",
    extensions={"application/geopackage+sqlite3": ".gpkg"},
    options=GeoPackageOptions,
    description=(
        "GeoPackage in the raster's CRS: a layer of connected regions with their areas in m², and "
        f"a table of classes. {_ON_GROUND}"
    ),
    encode=encode_geopackage,
)
