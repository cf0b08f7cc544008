"""`segtrain calibrate`: fit the temperatures of an exported model on val, and its reference."""

import argparse
from pathlib import Path

from models.commands.command import import_tensorflow
from models.commands.evaluate import data_of_artefact
from models.commands.fields import add_recipe_flags, given_fields

HELP = "make an exported model's probabilities honest: a temperature for each precision"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artefact", type=Path, help="<store>/<name>/<version>")
    parser.add_argument("--data", type=Path, required=True, help="the dataset folder")
    parser.add_argument(
        "--report",
        nargs="+",
        action="extend",
        default=[],
        metavar="SPLIT",
        help="splits that the card says the error of too, such as test",
    )
    add_recipe_flags(
        parser.add_argument_group("data", "where the folder alone does not say it"),
        ("split", "layout"),
    )


def run(parsed: argparse.Namespace) -> None:
    """Write contract and card anew in the artefact's place, and say what was found."""
    import_tensorflow()
    from models.contract import read_contract
    from models.data.examination import examine
    from models.export.confidence import FITTED_SPLIT, measure_on
    from models.export.rewriting import rewrite

    dataset = data_of_artefact(parsed.artefact, parsed.data, given_fields(parsed))
    splits = tuple(split for split in dict.fromkeys(parsed.report) if split != FITTED_SPLIT)
    examine(dataset, (FITTED_SPLIT, *splits)).raise_on_error()
    rewrite(parsed.artefact, measure_on(dataset, report=splits))
    contract = read_contract(parsed.artefact)
    for precision, fitted in (contract.calibration or {}).items():
        by_class = "" if fitted.class_temperatures is None else ", and one for each class"
        print(f"{precision}: temperature {fitted.temperature:.4f}{by_class}")
        for split, scores in fitted.scores.items():
            before = fitted.uncalibrated_scores[split]
            for name, value in scores.items():
                print(f"  {split} {name.replace('_', ' '):24} {before[name]:.4f} -> {value:.4f}")
    print(parsed.artefact)
