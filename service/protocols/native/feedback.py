"""POST /feedback: a picture comes back with its mask corrected."""

import asyncio
import errno
import logging
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from models.contract import Contract
from service.capture.labeled import FeedbackRefusedError, LabeledFolder
from service.domain.deadline import seconds_left
from service.domain.errors import DeadlineExceededError
from service.protocols.auth import require_key
from service.protocols.context import AppContext, context_of, request_context
from service.protocols.native.body import read_parts
from service.protocols.native.openapi_feedback import FEEDBACK_OPERATION, FEEDBACK_RESPONSES
from service.protocols.native.params import single_values
from service.protocols.problems import MalformedRequestError, NotSupportedError

IMAGE, ID, MASK = "image", "id", "mask"
_MAX_ID_BYTES = 128
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES})

log = logging.getLogger(__name__)

router = APIRouter(tags=["segment"], dependencies=[Depends(require_key)])


class StoredFeedback(BaseModel):
    """What became of it."""

    model: str = Field(description="The model whose classes the mask has.")
    name: str = Field(description="Of the picture's files in the data set.")
    replaced: bool = Field(description="Whether there was a mask of this picture already.")
    images: int = Field(description="Pictures in the model's data set now.")


@router.post(
    "/feedback",
    summary="A picture with its corrected mask, to train on",
    status_code=201,
    response_model=StoredFeedback,
    responses=FEEDBACK_RESPONSES,
    openapi_extra=FEEDBACK_OPERATION,
)
async def feedback(request: Request) -> Response:
    """Send the part `mask`, a PNG of class ids of the picture's size, and either the picture, as
    the part `image`, or the part `id`, as an answer's `X-Captured` gave it. `model` says whose
    classes the mask has; with an `id` it is the one that answered.
    """
    parts, context = context_of(request), request_context(request.scope)
    labeled = labeled_or_refuse(parts.labeled)
    parameters = single_values(request.query_params)
    model = parameters.pop("model", None)
    if parameters:
        raise MalformedRequestError(
            f"There is no parameter {next(iter(parameters))!r}; POST /feedback takes model."
        )
    sent = await read_parts(request, (IMAGE, ID, MASK))
    if MASK not in sent or (IMAGE in sent) == (ID in sent):
        raise MalformedRequestError(
            f"The body has the parts {', '.join(sorted(sent)) or '(none)'}. Send {MASK}, and "
            f"either {IMAGE} or {ID}."
        )
    mask = bytes(sent[MASK].body)
    if ID in sent:
        id = _id_of(bytes(sent[ID].body))
        name, picture = await asyncio.to_thread(labeled.captured, id)
        if model is not None and model.partition("/")[0] != name:
            raise MalformedRequestError(
                f"The picture {id} was answered by {name}, and model={model[:80]} is asked for. "
                "Leave model out."
            )
        model = model or name
    else:
        picture = bytes(sent[IMAGE].body)
    contract = _contract_of(parts, parts.registry.check(model))
    try:
        async with asyncio.timeout(seconds_left(context.deadline)), parts.one_feedback:
            stored = await asyncio.to_thread(labeled.add, contract, picture, mask)
    except TimeoutError:
        raise DeadlineExceededError(
            "The picture was not stored by the deadline. Try again when the server is less busy."
        ) from None
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        log.error("feedback was not stored: %s", error)
        raise FeedbackRefusedError(
            "The server's folder of labeled pictures takes no more. Its operator has to make room."
        ) from None
    context.upload.release()
    said = StoredFeedback(
        model=contract.name, name=stored.name, replaced=stored.replaced, images=stored.images
    )
    parts.metrics.loop.feedback(contract.name)
    return Response(said.model_dump_json(), 201, media_type="application/json")


def labeled_or_refuse(labeled: LabeledFolder | None) -> LabeledFolder:
    """Raises NotSupportedError where no pictures are kept."""
    if labeled is None:
        raise NotSupportedError(
            "This server keeps no pictures. Its operator can set SEGSERVE_CAPTURE_FOLDER."
        )
    return labeled


def _id_of(body: bytes) -> str:
    if len(body) > _MAX_ID_BYTES:
        raise MalformedRequestError(
            f"The part {ID} has {len(body)} bytes; an id has at most {_MAX_ID_BYTES}. Send what "
            "X-Captured said."
        )
    return body.decode("utf-8", "replace").strip()


def _contract_of(parts: AppContext, model_id: str) -> Contract:
    states: list[Any] = [state for state in parts.registry.states() if state.id == model_id]
    model = states[0].model
    assert model is not None  # the registry has just found it to serve
    contract: Contract = model.contract
    return contract
