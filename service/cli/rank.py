"""`segserve rank`: which pictures of a folder to label next."""

import argparse
import logging
import sys
from pathlib import Path

from service.cli.command import SOMETHING_FAILED, add_store, settings_for
from service.predict.errors import PredictError
from service.predict.model import pin_model
from service.review.rank import RankJob, rank_folder
from service.review.sheet import write_sheet

HELP = "say which pictures of a folder to label next"
DESCRIPTION = (
    "Rank the images of a folder by what labeling them would teach a model: unsure of them, unlike "
    "those before, rare classes. Writes a CSV and a contact sheet in HTML beside it; the same "
    "command resumes one that was stopped."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of images")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the CSV to write")
    parser.add_argument("-m", "--model", help="model by name, or a version of it such as street/1")
    parser.add_argument(
        "-n",
        "--count",
        type=int,
        default=100,
        help="how many are chosen one by one and shown; the rest follows by weight (default: 100)",
    )
    parser.add_argument(
        "--labeled",
        type=Path,
        metavar="FOLDER",
        help="images that are labeled already: what looks like them comes late",
    )
    add_store(parser)


def run(given: argparse.Namespace) -> int:
    if not 1 <= given.count <= 1000:
        raise PredictError(f"--count is {given.count}; it can be from 1 to 1000.")
    if given.out.suffix.lower() != ".csv":
        raise PredictError(f"-o is {given.out}; name a file that ends in .csv.")
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    model = pin_model(settings_for(given.model_store), given.model)
    job = RankJob(given.folder, given.out, given.count, given.labeled)
    ranking = rank_folder(job, model)
    sheet = write_sheet(job, ranking, model)
    for path, text in ranking.failures:
        print(f"{path}: {text}", file=sys.stderr)
    print(
        f"{len(ranking.rows)} ranked by {model.id}, {ranking.reused} of them measured before, "
        f"{len(ranking.failures)} failed; how they look is told by {ranking.seen_by}"
    )
    print(f"wrote {job.out} and {sheet}")
    return SOMETHING_FAILED if ranking.failures else 0
