"""What a job is asked to do: as a request is, or to make a map."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import QueryParams

from models.contract.faults import first_fault
from service.maps.formats import map_formats
from service.maps.options import MapOptions
from service.protocols.native.params import SegmentParams, parse_segment_params, single_values
from service.protocols.problems import MalformedRequestError


@dataclass(frozen=True)
class JobParams:
    """`format` is a name of OUTPUTS, or names of MAP_FORMATS; `options` those that were given."""

    model: str | None
    format: str
    options: Mapping[str, Any]


def of_segment(params: SegmentParams) -> JobParams:
    """What a request for a picture asks for."""
    options = params.options.model_dump(mode="json", exclude_unset=True)
    return JobParams(params.model, params.format.name, options)


def parse_job_params(query: QueryParams) -> JobParams:
    """Raises MalformedRequestError and NotAcceptableError."""
    given = single_values(query)
    if map_formats(given.get("format", "")) is None:
        return of_segment(parse_segment_params(query, None, besides=["webhook"]))
    model, names = given.pop("model", None), given.pop("format")
    given.pop("webhook", None)
    for name in given:
        if name not in MapOptions.model_fields:
            takes = ", ".join(MapOptions.model_fields)
            raise MalformedRequestError(f"Parameter {name} is not known. A map takes: {takes}.")
    try:
        options = MapOptions.model_validate(given)
    except ValidationError as error:
        fault = first_fault(error)
        raise MalformedRequestError(
            f"Parameter {fault.place} is {str(fault.given)[:100]!r}: {fault.message}."
        ) from None
    return JobParams(model, names, options.model_dump(mode="json", exclude_unset=True))
