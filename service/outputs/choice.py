"""A format and its options by their names, as callers and commands write them."""

from collections.abc import Mapping

from pydantic import ValidationError

from models.contract.errors import UserError
from models.contract.faults import first_fault
from service.outputs import ANSWERS, OUTPUTS
from service.outputs.output import Output, OutputOptions


class UnknownOutputError(UserError):
    """There is no format of that name. The text says which there are."""


class OptionError(UserError):
    """The format has no such option, or not of that value. The text says what it takes."""


def output_named(name: str, among: Mapping[str, Output] = OUTPUTS) -> Output:
    """Raises UnknownOutputError."""
    if name in among:
        return among[name]
    if name in ANSWERS:
        raise UnknownOutputError(
            f"{name} is a format of maps: `segserve predict ortho.tif -o classes.tif` makes one, "
            "and `--polygons regions.gpkg` or `regions.geojson` its polygons. A picture's "
            "`polygons` are in its pixels."
        )
    there_are = ", ".join(f"{one.name} ({', '.join(one.media_types)})" for one in among.values())
    raise UnknownOutputError(f"There is no format {name!r}; the formats are {there_are}.")


def parse_options(chosen: Output, parameters: Mapping[str, str]) -> OutputOptions:
    """The options of `chosen` from their texts.

    Raises OptionError that says where a stray one belongs.
    """
    for name in parameters:
        if name not in chosen.options.model_fields:
            raise OptionError(_stray(name, chosen))
    try:
        return chosen.options.model_validate(dict(parameters))
    except ValidationError as error:
        fault = first_fault(error)
        given = f" is {fault.given!r}" if fault.place in parameters else ""
        raise OptionError(f"Parameter {fault.place}{given}: {fault.message}.") from None


def _stray(name: str, chosen: Output) -> str:
    takes = f"{chosen.name} takes: {', '.join(chosen.options.model_fields) or 'none'}"
    belongs_to = [known.name for known in ANSWERS.values() if name in known.options.model_fields]
    if belongs_to:
        where = f"does not belong to format {chosen.name}; it belongs to {', '.join(belongs_to)}"
    else:
        where = "is not known"
    return f"Parameter {name} {where}. {takes}."
