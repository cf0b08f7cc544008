"""`segserve models`: list the models of a store."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from models.contract import ContractError
from service.catalogue.store import Artefact, complaints, read_verified, scan
from service.cli.command import SOMETHING_FAILED, add_store, settings_for

HELP = "list the models of a store"
DESCRIPTION = "List the models of a store, and whether their files are whole."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    add_store(parser)


def run(given: argparse.Namespace) -> int:
    store = settings_for(given.model_store).model_store
    found = scan(store)
    wrong = complaints(store, found)
    rows = [_row(artefact) for model in found.models.values() for artefact in model.values()]
    if given.json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    for sentence in wrong:
        print(f"{sentence}.", file=sys.stderr)
    is_whole = rows and not found.unreadable and not any(row["fault"] for row in rows)
    return 0 if is_whole else SOMETHING_FAILED


def _row(artefact: Artefact) -> dict[str, Any]:
    row: dict[str, Any] = {"model": artefact.id, "size_bytes": artefact.size_bytes, "fault": None}
    try:
        contract, _ = read_verified(artefact)
    except ContractError as error:
        return row | {"fault": str(error)}
    facts: dict[str, Any] = {
        "architecture": contract.architecture,
        "parameters": contract.parameters,
        "classes": [segmentation_class.name for segmentation_class in contract.classes],
        "scores": contract.training.scores if contract.training is not None else {},
    }
    return row | facts


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        size = f"{row['size_bytes'] / 1e6:.1f} MB"
        if row["fault"]:
            print(f"{row['model']:24} {size:>10}  cannot be served: {row['fault']}")
        else:
            facts = (
                f"{row['architecture']}, {row['parameters']:,} parameters, "
                f"{len(row['classes'])} classes"
            )
            print(f"{row['model']:24} {size:>10}  {facts}")
