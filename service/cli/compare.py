"""`segserve compare`: what a new version says otherwise."""

import argparse
import logging
import sys
from pathlib import Path

from service.cli.command import SOMETHING_FAILED, add_store, settings_for
from service.predict.errors import PredictError
from service.predict.model import pin_model
from service.review.compare import CompareJob, compare_folder

HELP = "compare two versions of a model on a folder of pictures"
DESCRIPTION = (
    "Segment the images of a folder with two models of the same classes, and say how far they "
    "agree. Writes a page with the pictures on which they differ most, and a JSON beside it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="FIRST", help="such as street/1")
    parser.add_argument("second", metavar="SECOND", help="such as street/2")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of images")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("comparison.html"), help="the page to write"
    )
    parser.add_argument(
        "-n", "--count", type=int, default=24, help="how many pictures are shown (default: 24)"
    )
    add_store(parser)


def run(given: argparse.Namespace) -> int:
    if not 0 <= given.count <= 200:
        raise PredictError(f"--count is {given.count}; it can be from 0 to 200.")
    if given.out.suffix.lower() != ".html":
        raise PredictError(f"-o is {given.out}; name a file that ends in .html.")
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    settings = settings_for(given.model_store)
    first, second = pin_model(settings, given.first), pin_model(settings, given.second)
    if first.id == second.id:
        raise PredictError(f"{given.first} and {given.second} are both {first.id}; name two.")
    job = CompareJob(given.folder, given.out, given.count)
    compared = compare_folder(job, first, second)
    for path, text in compared.failures:
        print(f"{path}: {text}", file=sys.stderr)
    agreement, sure = compared.agreement, compared.confidences
    print(
        f"{len(compared.pairs)} compared, {len(compared.failures)} failed: {first.id} and "
        f"{second.id} equal on {agreement.equal_share:.2%} of the pixels, mIoU of one against the "
        f"other {agreement.mean_iou:.3f}, mean confidence {sure[0]:.3f} and {sure[1]:.3f}"
    )
    print(f"wrote {job.out} and {job.json}")
    return SOMETHING_FAILED if compared.failures else 0
