"""`polygons`: GeoJSON, one Feature a connected region, its rings along the pixel edges."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import Field

from service.domain.classes import bands, describe, is_one_of, kept_ids
from service.domain.errors import AnswerTooLargeError
from service.domain.segmentation import Segmentation
from service.outputs.output import Output, OverlapWriting
from service.outputs.sureness import SurenessOptions, sums_of_regions

MAX_REGIONS = 100_000
MAX_EDGES = 4_000_000
COORDINATE_SYSTEM = (
    "pixels, not WGS84: x to the right and y down from the picture's top left corner; a pixel is 1 "
    "× 1. Exterior rings "
    "are counter-clockwise and holes clockwise by the numbers as they stand (y up, RFC 7946), so "
    "the reverse on a screen."
)

Ring = NDArray[np.int64]  # (n, 2), the last corner equal to the first


class PolygonsOptions(SurenessOptions):
    overlap: ClassVar[OverlapWriting] = "each"

    tolerance: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description=(
            "Simplify rings so that they move by at most this many pixels; 0 keeps them exact. "
            "Each region is "
            "simplified by itself, so neighbours may then overlap or leave gaps."
        ),
        examples=[1.5],
    )
    min_area: float = Field(
        default=0.0,
        ge=0,
        description="Leave out regions and fill holes of fewer pixels than this.",
        examples=[64],
    )


def encode(segmentation: Segmentation, options: PolygonsOptions) -> Iterator[bytes]:
    contract = segmentation.model.contract

    def properties(class_id: int, area: int, confidence: float | None) -> dict[str, Any]:
        sure = {} if confidence is None else {"confidence": confidence}
        return describe(contract, class_id) | {"area": area} | sure

    everything = frozenset(one.id for one in contract.classes)
    return encode_features(segmentation, options, everything, properties)


def encode_features(
    segmentation: Segmentation,
    options: PolygonsOptions,
    drawn: frozenset[int],
    properties: Callable[[int, int, float | None], dict[str, Any]],
) -> Iterator[bytes]:
    """A FeatureCollection of the regions of the classes `drawn`, their `properties` by class id,
    area in pixels, and mean confidence where that is asked for. Raises AnswerTooLargeError."""
    model, contract = segmentation.model, segmentation.model.contract
    height, width = segmentation.class_map.shape
    kept = kept_ids(contract, options.classes) & drawn
    refuse_noise(layer for _, layer in segmentation.layers(kept))
    sums = sums_of_regions(segmentation, options)
    head = {
        "type": "FeatureCollection",
        "model": {"name": contract.name, "version": model.version},
        **segmentation.source.place(),
        "width": width,
        "height": height,
        **segmentation.seen(),
        "coordinate_system": COORDINATE_SYSTEM,
    }
    yield orjson.dumps(head)[:-1] + b',"features":['
    # each Feature becomes text at once: as Python objects, many small ones would take ten times the
    # memory
    comma = b""
    regions = (
        region
        for ids, layer in segmentation.layers(kept)
        for region in regions_of(layer, ids, options.min_area)
    )
    for class_id, area, rings in regions:
        sure = None if sums is None else sums.mean(rings, area)
        said = properties(class_id, int(area), sure)
        yield comma + _feature(said, simplify(rings, options.tolerance))
        comma = b","
    yield b"]}"


def _feature(properties: dict[str, Any], rings: list[Ring]) -> bytes:
    geometry = {"type": "Polygon", "coordinates": rings}
    feature = {"type": "Feature", "properties": properties, "geometry": geometry}
    return orjson.dumps(feature, option=orjson.OPT_SERIALIZE_NUMPY)


def regions_of(
    class_map: NDArray[np.uint8], kept: frozenset[int], min_area: float
) -> Iterator[tuple[int, float, list[Ring]]]:
    """Yield the class id, area and wound rings of each region, its exterior first."""
    import rasterio.features  # a fifth of what a start would import, and few ask for polygons

    mask = is_one_of(class_map, kept)
    # connectivity 4: regions that touch at a corner alone would make rings that touch themselves
    for geometry, class_id in rasterio.features.shapes(class_map, mask=mask, connectivity=4):
        exterior, *holes = _measure(
            np.array(corners, np.int64) for corners in geometry["coordinates"]
        )
        holes = [(hole, area) for hole, area in holes if abs(area) >= min_area]
        total = abs(exterior[1]) - sum(abs(area) for _, area in holes)
        if total >= min_area:
            yield int(class_id), total, _wind([exterior, *holes])


def simplify(rings: list[Ring], tolerance: float) -> list[Ring]:
    """Corners that stay are corners that were, so all are whole numbers still."""
    if tolerance == 0:
        return rings
    import shapely

    simple = shapely.Polygon(rings[0], rings[1:]).simplify(tolerance, preserve_topology=True)
    if not isinstance(simple, shapely.Polygon) or not simple.is_valid:
        return rings
    return _wind(
        _measure(
            shapely.get_coordinates(r).astype(np.int64)
            for r in (simple.exterior, *simple.interiors)
        )
    )


def _wind(rings: list[tuple[Ring, float]]) -> list[Ring]:
    """Turn measured rings: the first counter-clockwise by its numbers, the holes clockwise."""
    return [
        ring if (area > 0) == (place == 0) else np.ascontiguousarray(ring[::-1])
        for place, (ring, area) in enumerate(rings)
    ]


def _measure(rings: Iterable[Ring]) -> list[tuple[Ring, float]]:
    """Each ring with the area within it, positive if it is counter-clockwise with y up."""
    return [
        (ring, int(ring[:-1, 0] @ ring[1:, 1] - ring[1:, 0] @ ring[:-1, 1]) / 2) for ring in rings
    ]


def refuse_noise(class_maps: Iterable[NDArray[np.uint8]]) -> None:
    """A caller can send noise: more polygons than anybody can use, at 5 kB of memory each."""
    edges = regions = 0
    for class_map in class_maps:
        for rows in bands(*class_map.shape):
            more_edges, more_regions = _count(class_map, rows)
            edges += more_edges
            regions += more_regions
    if edges > MAX_EDGES or regions > MAX_REGIONS:
        raise AnswerTooLargeError(
            f"The class map has up to {regions:,} regions with {edges:,} pixel edges between them; "
            "polygons are made "
            f"of at most {MAX_REGIONS:,} and {MAX_EDGES:,}. Ask for `rle` or `png`, keep fewer "
            "`classes`, or send the "
            "picture smaller."
        )


def _count(class_map: NDArray[np.uint8], rows: slice) -> tuple[int, int]:
    """Pixel edges between classes in a band of rows, and runs with nothing of their class above
    them.

    Every region has such a run at its top, so these are at least as many as regions; more where its
    outline has several tops.
    """
    band = class_map[rows]
    changes = band[:, 1:] != band[:, :-1]
    continues = np.zeros(band.shape, np.bool_)
    first = 1 if rows.start == 0 else 0  # nothing is above the picture
    continues[first:] = band[first:] == class_map[rows.start + first - 1 : rows.stop - 1]
    starts = np.ones(band.shape, np.bool_)
    starts[:, 1:] = changes
    has_above = np.logical_or.reduceat(continues.reshape(-1), np.flatnonzero(starts))
    edges = np.count_nonzero(changes) + np.count_nonzero(~continues[first:])
    return int(edges), int(np.count_nonzero(~has_above))


POLYGONS = Output(
    name="polygons",
    title="Polygons",
    extensions={"application/geo+json": ".geojson"},
    options=PolygonsOptions,
    description=(
        "GeoJSON FeatureCollection in pixel coordinates: a Polygon with its holes for each "
        "connected region."
    ),
    encode=encode,
)
