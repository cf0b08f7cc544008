"""What a caller asks for: the model, the format, and the format's own options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.datastructures import QueryParams

from service.outputs import ANSWERS, choice
from service.outputs.output import Output, OutputOptions
from service.protocols.native.negotiation import choose, preferred
from service.protocols.problems import MalformedRequestError, NotAcceptableError

# A format that can answer in several media types has an option of this name.
MEDIA_TYPE_OPTION = "media_type"


@dataclass(frozen=True)
class SegmentParams:
    """What one request asks for. `model` is None for the default one."""

    model: str | None
    format: Output
    options: OutputOptions


def parse_segment_params(
    query: QueryParams, accept: str | None, besides: Sequence[str] = ()
) -> SegmentParams:
    """The wish of a query and an Accept header; `besides` are the route's own parameters.

    Raises MalformedRequestError and NotAcceptableError.
    """
    parameters = single_values(query)
    for name in besides:
        parameters.pop(name, None)
    model = parameters.pop("model", None)
    format_name = parameters.pop("format", None)
    chosen = format_named(format_name) if format_name is not None else _negotiate(accept)
    if MEDIA_TYPE_OPTION in chosen.options.model_fields and MEDIA_TYPE_OPTION not in parameters:
        media_type = preferred(accept, chosen.media_types)
        parameters |= {MEDIA_TYPE_OPTION: media_type} if media_type is not None else {}
    return SegmentParams(model, chosen, parse_options(chosen, parameters))


@lru_cache(maxsize=256)
def parse_query(query: bytes, accept: str | None) -> SegmentParams:
    """As `parse_segment_params`, of a query as it was sent: most callers send the same again."""
    return parse_segment_params(QueryParams(query), accept)


def single_values(query: QueryParams) -> dict[str, str]:
    """The parameters of `query`. Raises MalformedRequestError where one is given twice."""
    parameters: dict[str, str] = {}
    for name, value in query.multi_items():
        if name in parameters:
            raise MalformedRequestError(f"Parameter {name} is given more than once; give it once.")
        parameters[name] = value
    return parameters


def format_named(name: str) -> Output:
    """Raises NotAcceptableError."""
    try:
        return choice.output_named(name, ANSWERS)
    except choice.UnknownOutputError as error:
        raise NotAcceptableError(str(error)) from None


def parse_options(chosen: Output, parameters: Mapping[str, str]) -> OutputOptions:
    """The options of `chosen` from their texts. Raises MalformedRequestError."""
    try:
        return choice.parse_options(chosen, parameters)
    except choice.OptionError as error:
        raise MalformedRequestError(str(error)) from None


def _negotiate(accept: str | None) -> Output:
    by_media_type: dict[str, Output] = {}
    for known in ANSWERS.values():
        for media_type in known.media_types:
            by_media_type.setdefault(media_type, known)
    return by_media_type[choose(accept, list(by_media_type))]
