"""What `segserve predict` takes and tells of maps."""

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from models.contract.faults import first_fault
from service.cli.command import KILLED_BY, SOMETHING_FAILED, end
from service.cluster.options import BulkLayout, layout_of
from service.maps.job import MapSummary
from service.maps.options import MapOptions
from service.predict.errors import PredictError
from service.predict.maps import SUFFIXES, MapJob, MapsSummary, MapStep, predict_maps
from service.predict.model import pin_model
from service.settings import Settings

FORMAT = "geotiff"


def add_map_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("maps of GeoTIFF, BigTIFF and COG files of any size")
    group.add_argument(
        "--polygons",
        metavar="FILE",
        help=".gpkg or .geojson file of the map's regions, or the word gpkg or geojson: beside "
        "each map",
    )
    group.add_argument(
        "--min-area",
        type=float,
        metavar="M2",
        help="of polygons: leave out regions and fill holes of less, in square meters",
    )
    group.add_argument(
        "--bbox",
        metavar="L,B,R,T",
        help="the part that is wanted: left,bottom,right,top in the raster's CRS (--bbox=-5,… "
        "where the first is negative)",
    )
    group.add_argument(
        "--like", type=Path, metavar="TIF", help="lay the map on the grid of this raster"
    )


def is_map(given: argparse.Namespace) -> bool:
    """Whether the flags ask for maps. Raises PredictError where they ask for both."""
    out = Path(given.out)
    flags = {
        "--polygons": given.polygons,
        "--min-area": given.min_area,
        "--bbox": given.bbox,
        "--like": given.like,
    }
    asked = [flag for flag, value in flags.items() if value is not None]
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        asked.append(f"-o {given.out}")
    if given.format == FORMAT:
        return True
    if asked and given.format is not None:
        raise PredictError(
            f"{asked[0]} is of maps, and --format {given.format} is not; leave one of them out."
        )
    return bool(asked)


def run_maps(given: argparse.Namespace, settings: Settings, parameters: Mapping[str, str]) -> int:
    """Raises PredictError and ClusterError."""
    layout = layout_of(given, BulkLayout)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    if given.min_area is not None and given.polygons is None:
        raise PredictError("--min-area is of polygons; say --polygons regions.gpkg too.")
    if given.like is not None and not given.like.is_file():
        raise PredictError(f"there is no file {given.like}.")
    options = _options(parameters, min_area=given.min_area, bbox=given.bbox)
    sources = tuple(map(Path, given.images))
    job = MapJob(sources, Path(given.out), given.polygons, given.like, options, given.overwrite)
    model = pin_model(settings, given.model)
    if layout is None:
        return _report(predict_maps(job, model))
    from service.cluster.maps import predict_maps_on_cluster

    return _report(predict_maps_on_cluster(job, model, layout, given.ray or None))


def _options(parameters: Mapping[str, str], **flags: object) -> MapOptions:
    unknown = [name for name in parameters if name not in MapOptions.model_fields]
    if unknown:
        raise PredictError(
            f"Parameter {unknown[0]} is not known of maps, which take: "
            f"{', '.join(MapOptions.model_fields)}."
        )
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return MapOptions.model_validate({**parameters, **given})
    except ValidationError as error:
        fault = first_fault(error)
        raise PredictError(f"Parameter {fault.place}: {fault.message}.") from None


def _report(summary: MapsSummary) -> int:
    for step, made in summary.done:
        for note in made.notes:
            print(f"{step.source}: {note}", file=sys.stderr)
    for source, text in summary.failures:
        print(f"{source}: {text}", file=sys.stderr)
    if len(summary.done) == 1:
        _print_areas(*summary.done[0])
    for _, made in summary.done:
        for files in made.files.values():
            print(f"wrote {files[0]}")
    print(
        f"{len(summary.done)} written, {summary.skipped} skipped because they were there, "
        f"{len(summary.failures)} failed"
    )
    if summary.stopped is not None:
        print(
            f"segserve predict: stopped ({summary.stopped}) with {summary.left} left; run the same "
            "command again to resume at the row of tiles where it was.",
            file=sys.stderr,
        )
    if summary.signal is not None:
        return end(KILLED_BY + summary.signal)
    return SOMETHING_FAILED if summary.failures or summary.stopped is not None else 0


def _print_areas(step: MapStep, made: MapSummary) -> None:
    total = sum(area.pixels for area in made.areas)
    print(f"{step.source}: {made.height} × {made.width} pixels by {made.model_id}")
    width = max(len(area.name) for area in made.areas)
    for area in sorted(made.areas, key=lambda area: -area.pixels):
        if area.pixels:
            size = f"{area.pixels:,} px" if area.area_m2 is None else f"{area.area_m2:,.1f} m²"
            print(f"  {area.name:{width}}  {size:>20}  {area.pixels / total:7.2%}")
