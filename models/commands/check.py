"""`segtrain check`: read every file of a data set once and say what is wrong with it."""

import argparse
from pathlib import Path
from typing import get_args

from models.commands.command import for_shell
from models.data.names import counted
from models.data.options import LayoutName, LayoutOptions, SplitOptions, Unlabelled

HELP = "read every file once and say what is wrong with it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(when_stopped="nothing was changed")
    parser.add_argument("data", type=Path, help="the folder of the data set")
    parser.add_argument(
        "--report", type=Path, help="the HTML report (default: <folder's name>-check.html here)"
    )
    parser.add_argument(
        "--fix-to", type=Path, metavar="NEW_FOLDER", help="write a clean copy; never in place"
    )
    parser.add_argument(
        "--layout", choices=get_args(LayoutName), help="default: found by its files"
    )
    parser.add_argument("--palette", type=Path, help="class names and colours of colour masks")
    parser.add_argument(
        "--ignore", type=int, metavar="VALUE", help="value in the masks that is ignored"
    )
    parser.add_argument(
        "--shift",
        type=int,
        default=0,
        metavar="NUMBER",
        help="added to the masks' other values: -1 where they count classes from 1",
    )
    parser.add_argument(
        "--unlabelled",
        choices=get_args(Unlabelled),
        default="background",
        help="what pixels are that no region of an annotation tool covers (default: background)",
    )
    parser.add_argument(
        "--label-field",
        metavar="COLUMN",
        help="the column of a GeoPackage or GeoJSON that holds the classes",
    )
    parser.add_argument(
        "--images", metavar="GLOB", help="which files are images, such as 'photos/*.jpg'"
    )
    parser.add_argument(
        "--masks", metavar="GLOB", help="which files are their masks, such as 'drawn/*.png'"
    )
    defaults = SplitOptions()
    parser.add_argument(
        "--split",
        type=float,
        default=defaults.fraction,
        metavar="SHARE",
        help=f"share of val where the data has none (default: {defaults.fraction})",
    )
    parser.add_argument(
        "--seed", type=int, default=defaults.seed, help="another seed, another split"
    )
    parser.add_argument("--group", help="regular expression; what it matches stays in one split")
    parser.add_argument("--tiles", type=int, default=24, help="pictures on the contact sheet")


def _report_beside(name: str) -> Path:
    """The report's file by the folder's name, cut where a file could not be called so."""
    ending = "-check.html"
    return Path(name.encode()[: 255 - len(ending)].decode(errors="ignore") + ending)


def run(parsed: argparse.Namespace) -> None:
    """Examine, report, and write a clean copy where one is asked for."""
    from pydantic import ValidationError

    from models.contract.faults import first_fault
    from models.data.check_report import text_report, write_report
    from models.data.dataset import DatasetError
    from models.data.examination import examine
    from models.data.reading import scan_dataset
    from models.data.repair import suggest_repair, write_repaired

    try:
        split = SplitOptions(fraction=parsed.split, seed=parsed.seed, group=parsed.group)
        layout = LayoutOptions(
            name=parsed.layout,
            palette=parsed.palette,
            ignore=parsed.ignore,
            shift=parsed.shift,
            unlabelled=parsed.unlabelled,
            label_field=parsed.label_field,
            images=parsed.images,
            masks=parsed.masks,
        )
    except ValidationError as error:
        raise DatasetError(
            f"--split, --seed, --group, --ignore, --shift: {first_fault(error).message}"
        ) from error
    dataset = scan_dataset(parsed.data, split, layout)
    examination = examine(dataset, tiles=max(1, parsed.tiles))
    repair = suggest_repair(examination)
    report = parsed.report or _report_beside(parsed.data.resolve().name)
    print(text_report(examination, repair))
    try:
        write_report(report, examination, repair)
    except OSError as error:
        raise DatasetError(
            f"the report cannot be written to {report} ({error.strerror}); say --report FILE"
        ) from error
    print(f"\nreport: {report}")
    if parsed.fix_to is not None:
        if repair is None:
            raise DatasetError(
                examination.faulty_classes
                or "no mapping can be read off these masks; write classes.json, then check again"
            )
        written, left_out = write_repaired(examination, repair, parsed.fix_to)
        print(f"wrote {written} images and masks to {parsed.fix_to}; left out {len(left_out)}")
        print("".join(f"  {reason}\n" for reason in left_out), end="")
        print(
            f"Next: look at {parsed.fix_to}/classes.json, then segtrain check "
            f"{for_shell(parsed.fix_to)}"
        )
    elif examination.errors:
        raise DatasetError(
            f"{counted(len(examination.errors), 'error')} and "
            f"{counted(len(examination.warnings), 'warning')} in {parsed.data}"
        )
