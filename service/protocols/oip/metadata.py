"""What server and models say of themselves, as documents that are the same over HTTP and gRPC."""

from importlib.metadata import version
from typing import Any, Final

from service.catalogue.slot import ModelState
from service.protocols.model_names import FILE_SUFFIX, Served, names_of
from service.protocols.oip.datatypes import DATATYPES, Given
from service.protocols.oip.request import INPUT_NAME
from service.protocols.results import DEFAULT, RESULTS
from service.protocols.telemetry.metrics import ModelTotals

# Clients look for these words before they use what they stand for, so only what is there is named.
EXTENSIONS: Final = (
    "binary_tensor_data",
    "parameters",
    "model_configuration",
    "model_repository",
    "statistics",
)
PLATFORM: Final = "segserve"

WHY_NO_UNLOAD: Final = (
    "Models come and go with their folders in the store, which this server follows; take the "
    "folder of this one away to unload it."
)

_INDEX_STATES: Final = {
    "loading": "LOADING",
    "ready": "READY",
    "unloaded": "READY",  # the first request loads it
    "failed": "UNAVAILABLE",
    "draining": "UNLOADING",
}


def server_metadata() -> dict[str, Any]:
    return {"name": "segserve", "version": version("segserve"), "extensions": list(EXTENSIONS)}


def model_metadata(served: Served) -> dict[str, Any]:
    """One input and one output, for clients ask for all outputs that they find here."""
    name, datatype, shape = _input(served)
    return {
        "name": served.name,
        "versions": [served.version],
        "platform": PLATFORM,
        "inputs": [{"name": name, "datatype": datatype, "shape": shape}],
        "outputs": [
            {"name": DEFAULT, "datatype": RESULTS[DEFAULT].kind, "shape": [-1, -1, -1]},
        ],
    }


def model_config(served: Served, max_batch_size: int) -> dict[str, Any]:
    """Triton's ModelConfig. Its shapes leave out the images, for `max_batch_size` is not 0."""
    name, datatype, shape = _input(served)
    kind: dict[str, Any] = {} if served.takes_files else {"format": "FORMAT_NHWC"}
    return {
        "name": served.name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": max_batch_size,
        "input": [{"name": name, "data_type": DATATYPES[datatype], **kind, "dims": shape[1:]}],
        "output": [
            {"name": DEFAULT, "data_type": DATATYPES[RESULTS[DEFAULT].kind], "dims": [-1, -1]}
        ],
        "dynamic_batching": {},
        "parameters": {
            "classes": {"string_value": ",".join(one.name for one in served.contract.classes)},
            "outputs": {"string_value": ",".join(RESULTS)},
        },
    }


def _input(served: Served) -> tuple[str, Given, list[int]]:
    if served.takes_files:
        return INPUT_NAME, "BYTES", [-1, 1]
    return INPUT_NAME, "UINT8", [-1, -1, -1, served.contract.channels]


def repository_index(states: list[ModelState], *, ready_only: bool) -> list[dict[str, str]]:
    """Each version under each of its names.

    The reason is there even where it is empty: some readers ask for it.
    """
    names = names_of(states)
    return [
        {
            "name": name,
            "version": str(state.version),
            "state": _INDEX_STATES[state.state],
            "reason": state.error or "",
        }
        for state in states
        for name in (state.name, state.name + FILE_SUFFIX)
        if name in names and (_INDEX_STATES[state.state] == "READY" or not ready_only)
    ]


def model_statistics(name: str, state: ModelState, totals: ModelTotals) -> dict[str, Any]:
    """Counts and nanoseconds since the start; all of them only grow."""
    images = totals.images
    nanoseconds = {stage: round(seconds * 1e9) for stage, seconds in totals.seconds.items()}

    def duration(count: int, *stages: str) -> dict[str, int]:
        return {"count": count, "ns": sum(nanoseconds[stage] for stage in stages)}

    return {
        "name": name,
        "version": str(state.version),
        "last_inference": round(totals.last_image * 1000),
        "inference_count": images,
        "execution_count": totals.batches or images,
        "inference_stats": {
            "success": duration(images, *nanoseconds),
            "fail": duration(totals.dropped),
            "queue": duration(images, "queue"),
            "compute_input": duration(images, "decode"),
            "compute_infer": duration(images, "infer"),
            "compute_output": duration(images, "encode"),
            "cache_hit": duration(0),
            "cache_miss": duration(0),
        },
        "batch_stats": [],
        "memory_usage": [],
    }
