"""The Open Inference Protocol over gRPC: inference.GRPCInferenceService, and grpc.health.v1."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

import grpc

from service.concurrency import cancel_all
from service.protocols.model_names import find, names_of, states_of
from service.protocols.oip import metadata
from service.protocols.oip.answer import output_tensors, read_asked
from service.protocols.oip.images import pictures_of
from service.protocols.oip.rpc.messages import INFERENCE
from service.protocols.oip.rpc.requests import read_request, write_response
from service.protocols.pictures import infer
from service.protocols.problems import NotSupportedError
from service.protocols.rpc.calls import (
    Call,
    Calls,
    Unreadable,
    codec_of,
    raise_unreadable,
    sentence_of,
)
from service.protocols.rpc.messages import HEALTH

SERVICE: Final = "inference.GRPCInferenceService"
HEALTH_SERVICE: Final = "grpc.health.v1.Health"
# Of a stream, so many requests are at work beside each other; their answers keep the order.
_STREAM_REQUESTS: Final = 8
_WATCH_SECONDS: Final = 1.0


async def server_live(call: Call, _message: Any) -> Any:
    return INFERENCE["ServerLiveResponse"](live=call.parts.is_live)


async def server_ready(call: Call, _message: Any) -> Any:
    return INFERENCE["ServerReadyResponse"](ready=call.parts.registry.ready)


async def model_ready(call: Call, message: Any) -> Any:
    served = find(call.parts, message.name, message.version or None)
    return INFERENCE["ModelReadyResponse"](ready=served.is_ready)


async def server_metadata(_call: Call, _message: Any) -> Any:
    return INFERENCE["ServerMetadataResponse"](**metadata.server_metadata())


async def model_metadata(call: Call, message: Any) -> Any:
    served = find(call.parts, message.name, message.version or None)
    return INFERENCE["ModelMetadataResponse"](**metadata.model_metadata(served))


async def model_config(call: Call, message: Any) -> Any:
    served = find(call.parts, message.name, message.version or None)
    config = metadata.model_config(served, call.parts.max_batch_request_images)
    return INFERENCE["ModelConfigResponse"](config=config)


async def model_statistics(call: Call, message: Any) -> Any:
    parts, name, version = call.parts, message.name, message.version
    if name:
        find(parts, name, version or None)
    states = states_of(parts, name) if name else parts.registry.states()
    every = [
        metadata.model_statistics(name or state.name, state, parts.metrics.totals(state.id))
        for state in states
        if state.model is not None and version in ("", str(state.version))
    ]
    for one in every:
        del one["batch_stats"], one["memory_usage"]
    return INFERENCE["ModelStatisticsResponse"](model_stats=every)


async def repository_index(call: Call, message: Any) -> Any:
    states = call.parts.registry.states()
    entries = metadata.repository_index(states, ready_only=message.ready)
    return INFERENCE["RepositoryIndexResponse"](models=entries)


async def repository_load(call: Call, message: Any) -> Any:
    name = message.model_name or message.repository_name
    served = find(call.parts, name)
    async with call.parts.registry.lease(served.selector, call.deadline):
        return INFERENCE["RepositoryModelLoadResponse"](model_name=name, isLoaded=True)


async def repository_unload(call: Call, message: Any) -> Any:
    find(call.parts, message.model_name or message.repository_name)
    raise NotSupportedError(metadata.WHY_NO_UNLOAD)


async def model_infer(call: Call, message: Any) -> Any:
    with call.holding(message):
        return await _infer(call, message)


async def _infer(call: Call, message: Any) -> Any:
    name = message.model_name
    served = find(call.parts, name, message.model_version or None)
    wish = read_request(message, call.parts.max_batch_request_images)
    asked = read_asked(wish)
    pictures = pictures_of(wish.input, served)
    deadline = call.deadline
    if asked.timeout_seconds is not None:
        deadline = min(deadline, call.arrived + asked.timeout_seconds)
    inferred = await infer(call.parts, served.selector, pictures, asked.results, deadline)
    call.answered(inferred)
    tensors = output_tensors(asked.results, inferred, pictures)
    return write_response(name, inferred.model_id.rpartition("/")[2], wish.id, tensors)


async def model_stream_infer(call: Call, messages: AsyncIterator[Any]) -> AsyncGenerator[Any]:
    """Frames of a video, say. One that fails has an error_message, and the stream goes on."""
    answers: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(_STREAM_REQUESTS)

    async def read() -> None:
        try:
            async for message in messages:
                await answers.put(asyncio.create_task(_answer_in_stream(call, message)))
        finally:
            await answers.put(None)

    reader = asyncio.create_task(read())
    try:
        while (answer := await answers.get()) is not None:
            yield await answer
        await reader
    finally:
        waiting = [task for task in _drained(answers) if task is not None]
        await cancel_all([reader, *waiting])


async def _answer_in_stream(call: Call, message: Any) -> Any:
    try:
        raise_unreadable(message)
        response = await model_infer(call.next_request(), message)
    except Exception as error:  # noqa: BLE001 - it fails this request of the stream alone
        known = {} if isinstance(message, Unreadable) else _names_of(message)
        failed = INFERENCE["ModelInferResponse"](**known)
        return INFERENCE["ModelStreamInferResponse"](
            error_message=sentence_of(error), infer_response=failed
        )
    return INFERENCE["ModelStreamInferResponse"](infer_response=response)


def _names_of(message: Any) -> dict[str, str]:
    return {"id": message.id, "model_name": message.model_name}


def _drained(queue: "asyncio.Queue[asyncio.Task[Any] | None]") -> list[asyncio.Task[Any] | None]:
    found = []
    while not queue.empty():
        found.append(queue.get_nowait())
    return found


def _health_of(call: Call, service: str) -> int | None:
    """SERVING or NOT_SERVING; None where there is no such service or model."""
    if service in ("", SERVICE, HEALTH_SERVICE):
        return 1 if call.parts.registry.ready else 2
    if service in names_of(call.parts.registry.states()):
        return 1 if any(state.serves for state in states_of(call.parts, service)) else 2
    return None


async def health_check(call: Call, message: Any) -> Any:
    status = _health_of(call, message.service)
    if status is None:
        find(call.parts, message.service)
    return HEALTH["HealthCheckResponse"](status=status or 3)


# What load balancers and probes ask needs no key, as /health does not.
_OPEN: Final = {"ServerLive": server_live, "ServerReady": server_ready, "ModelReady": model_ready}
_KEYED: Final = {
    "ServerMetadata": server_metadata,
    "ModelMetadata": model_metadata,
    "ModelConfig": model_config,
    "ModelStatistics": model_statistics,
    "RepositoryIndex": repository_index,
    "RepositoryModelLoad": repository_load,
    "RepositoryModelUnload": repository_unload,
    "ModelInfer": model_infer,
}


def handlers(calls: Calls) -> list[Any]:
    """What a grpc.aio server answers with."""
    of_inference = {
        name: grpc.unary_unary_rpc_method_handler(
            calls.unary(f"/{SERVICE}/{name}", handler, needs_key=name in _KEYED),
            **codec_of(INFERENCE, f"{name}Request", f"{name}Response"),
        )
        for name, handler in {**_OPEN, **_KEYED}.items()
    }
    of_inference["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
        calls.stream(f"/{SERVICE}/ModelStreamInfer", model_stream_infer),
        **codec_of(INFERENCE, "ModelInferRequest", "ModelStreamInferResponse"),
    )
    codec = codec_of(HEALTH, "HealthCheckRequest", "HealthCheckResponse")
    of_health = {
        "Check": grpc.unary_unary_rpc_method_handler(
            calls.unary(f"/{HEALTH_SERVICE}/Check", health_check, needs_key=False), **codec
        ),
        "Watch": grpc.unary_stream_rpc_method_handler(
            calls.watch(f"/{HEALTH_SERVICE}/Watch", watch_health), **codec
        ),
    }
    return [
        grpc.method_handlers_generic_handler(SERVICE, of_inference),
        grpc.method_handlers_generic_handler(HEALTH_SERVICE, of_health),
    ]


async def watch_health(call: Call, message: Any) -> AsyncGenerator[Any]:
    """The status now, and each time that it changes."""
    told = None
    while True:
        status = _health_of(call, message.service) or 3
        if status != told:
            yield HEALTH["HealthCheckResponse"](status=status)
            told = status
        await asyncio.sleep(_WATCH_SECONDS)
