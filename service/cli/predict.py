"""`segserve predict`: segment image files and folders, without HTTP."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from service.cli.command import KILLED_BY, SOMETHING_FAILED, add_store, end, settings_for
from service.cli.maps import add_map_arguments, is_map, run_maps
from service.cluster.errors import ClusterError
from service.cluster.options import BulkLayout, add_ray_flags, layout_of
from service.outputs import OUTPUTS, OutputOptions
from service.outputs.choice import output_named, parse_options
from service.predict.errors import PredictError
from service.predict.job import Job, Summary, predict
from service.predict.model import PinnedModel, pin_model

HELP = "segment image files and folders, without HTTP"
DESCRIPTION = (
    "Segment image files, and all images in folders; rasters of any size become maps. The same "
    "command resumes a job that was stopped."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image file or folder of images; with --ray one folder, s3://… and gs://… too",
    )
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        help="folder that the answers are written to, or the .tif of one map",
    )
    parser.add_argument("-m", "--model", help="model by name, or a version of it such as street/1")
    parser.add_argument(
        "-f",
        "--format",
        help=f"one of {', '.join(OUTPUTS)} (default: png), or geotiff for maps of rasters of any "
        "size (default where -o ends in .tif)",
    )
    parser.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the format, such as alpha=0.3; may be given several times",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="make anew what is there of this command's answers"
    )
    add_map_arguments(parser)
    add_store(parser)
    add_ray_flags(parser.add_argument_group("on a Ray cluster (the extra ray)"), BulkLayout)


def run(given: argparse.Namespace) -> int:
    settings = settings_for(given.model_store)
    if is_map(given):
        return run_maps(given, settings, _parameters(given.parameter))
    given.format = given.format or "png"
    chosen = output_named(given.format)
    options = parse_options(chosen, _parameters(given.parameter))
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    layout = layout_of(given, BulkLayout)
    model = pin_model(settings, given.model)
    if layout is not None:
        return _predict_on_cluster(given, model, options, layout)
    sources = tuple(map(Path, given.images))
    job = Job(sources, Path(given.out), chosen, options, given.overwrite)
    return _report(predict(job, model))


def _predict_on_cluster(
    given: argparse.Namespace, model: PinnedModel, options: OutputOptions, layout: BulkLayout
) -> int:
    from service.cluster.bulk import BulkJob, predict_on_cluster

    if len(given.images) > 1:
        raise ClusterError(f"--ray takes one folder, and there are {len(given.images)}.")
    if (project := OUTPUTS[given.format].project) is not None and project.files:
        raise ClusterError(
            f"--ray writes a file a picture, and {given.format} has {' and '.join(project.files)} "
            "for all pictures; leave --ray out."
        )
    job = BulkJob(given.images[0], given.out, given.format, options, given.overwrite)
    summary = predict_on_cluster(job, model, layout, given.ray or None)
    counts = (
        f"{summary.written} written, {summary.skipped} skipped because they were there, "
        f"{summary.failed} failed"
    )
    print(f"{counts}: see {summary.failures}" if summary.failed else counts)
    return SOMETHING_FAILED if summary.failed else 0


def _parameters(texts: Sequence[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise PredictError(
                f"parameter {text!r} is not of the form NAME=VALUE, such as alpha=0.3."
            )
        if name in parameters:
            raise PredictError(f"Parameter {name} is given more than once; give it once.")
        parameters[name] = value
    return parameters


def _report(summary: Summary) -> int:
    for source, text in (*summary.notes, *summary.failures):
        print(f"{source}: {text}", file=sys.stderr)
    print(
        f"{summary.written} written, {summary.skipped} skipped because they were there, "
        f"{len(summary.failures)} failed"
    )
    for path in summary.project:
        print(f"wrote {path}")
    if summary.stopped is not None:
        print(
            f"segserve predict: stopped ({summary.stopped}) with {summary.left} left; run the same "
            "command again to resume.",
            file=sys.stderr,
        )
    if summary.signal is not None:
        return end(KILLED_BY + summary.signal)
    return SOMETHING_FAILED if summary.failures or summary.stopped is not None else 0
