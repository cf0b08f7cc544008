"""`segtrain networks`: what networks there are, and a picture of one."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from models.architectures.options import NetworkOptions
from models.architectures.table import NETWORKS
from models.commands.command import import_tensorflow
from models.contract import atomic
from models.contract.faults import first_fault
from models.training.recipe import RecipeError

if TYPE_CHECKING:
    from models.architectures.outline import NetworkFacts


HELP = "list the networks, or draw one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", choices=NETWORKS, metavar="NAME", help="one of them")
    parser.add_argument("--picture", type=Path, help="draw the network NAME into this PNG")
    parser.add_argument("--json", action="store_true", help="a JSON list instead of a table")
    parser.add_argument("--classes", type=int, default=21, help="default: 21, as PASCAL VOC has")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3, help="default: 3")
    for field in ("encoder", "width", "upsampling", "padding"):
        description = NetworkOptions.model_fields[field].description
        parser.add_argument(f"--{field}", help=description)


def run(parsed: argparse.Namespace) -> None:
    """List the networks, or draw one."""
    if parsed.picture is not None and parsed.name is None:
        raise RecipeError(
            "--picture draws one network; say which: segtrain networks NAME --picture"
        )
    names = [parsed.name] if parsed.name else list(NETWORKS)
    options = [_options(name, parsed) for name in names]

    import_tensorflow()
    from models.architectures.outline import describe

    facts = [describe(one, parsed.classes, parsed.channels) for one in options]
    if parsed.picture is not None:
        _draw(options[0], facts[0], parsed)
    elif parsed.json:
        print(json.dumps([asdict(one) for one in facts], indent=2))
    else:
        print(_table(facts))


def _options(name: str, parsed: argparse.Namespace) -> NetworkOptions:
    chosen: dict[str, Any] = {
        key: getattr(parsed, key) for key in ("encoder", "width", "upsampling", "padding")
    }
    try:
        return NetworkOptions.model_validate({"name": name, **chosen})
    except ValidationError as error:
        fault = first_fault(error)
        raise RecipeError(f"{fault.place or name}: {fault.message}") from error


def _draw(options: NetworkOptions, facts: "NetworkFacts", parsed: argparse.Namespace) -> None:
    from models.architectures.networks import build_without_weights
    from models.architectures.picture import draw_network

    title = (
        f"{facts.name} ({facts.paper}): {facts.parameters:,} parameters, stride {facts.stride}, "
        f"sees {_radius(facts)} pixels each way"
    )
    network = build_without_weights(parsed.classes, parsed.channels, options)
    picture = draw_network(network.model, title)
    with atomic.replacing(parsed.picture) as partial:
        picture.save(partial, "png")
    print(parsed.picture)


def _table(facts: "list[NetworkFacts]") -> str:
    rows = [("network", "parameters", "stride", "radius", "paper", "encoders", "upsampling")]
    rows += [
        (
            one.name,
            f"{one.parameters:,}",
            str(one.stride),
            _radius(one),
            one.paper,
            ", ".join(one.encoders),
            ", ".join(one.upsamplings),
        )
        for one in facts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in (1, 2, 3) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join([*cells, row[-1]]))
    return "\n".join(lines)


def _radius(facts: "NetworkFacts") -> str:
    return "all" if facts.receptive_field_radius is None else str(facts.receptive_field_radius)
