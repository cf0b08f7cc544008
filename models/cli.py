"""`segtrain`: one module in `models/commands` a command."""

import argparse
import sys
import warnings

from models.commands import adopt, check, evaluate, export, networks, quantize, train
from models.contract import ContractError
from models.training.recipe import RecipeError

COMMANDS = (check, networks, train, evaluate, export, quantize, adopt)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit code 0 when it did what was asked, 1 with a sentence where it could not."""
    parsed = _parser().parse_args(arguments)
    # Pillow's name no file; what is wrong with one is among what `check` finds.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        parsed.run_command(parsed)
    except _user_errors() as error:
        print(f"segtrain: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"segtrain: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nsegtrain: stopped; {parsed.when_stopped}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segtrain", description="From a folder of images and masks to a served model."
    )
    parser.set_defaults(when_stopped="nothing was written")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_command(commands)
    return parser


def _user_errors() -> tuple[type[Exception], ...]:
    """The errors whose text is meant for the user. Those of modules not imported cannot have been raised."""
    named = (
        ("models.architectures.backbones", "BackboneWeightsError"),
        ("models.data.dataset", "DatasetError"),
        ("models.export.external", "AdoptionError"),
        ("models.export.saved_model", "ExportError"),
        ("models.training.train", "TrainingError"),
    )
    loaded = [getattr(sys.modules[module], name) for module, name in named if module in sys.modules]
    return (RecipeError, ContractError, *loaded)


if __name__ == "__main__":
    sys.exit(main())
