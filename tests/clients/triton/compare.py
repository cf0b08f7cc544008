"""The same requests to Triton and to segserve, over HTTP and gRPC: statuses, types, documents by
member, tensors by byte, sentences.

    python compare.py TRITON_HTTP TRITON_GRPC SEGSERVE_HTTP SEGSERVE_GRPC     (each host:port)

Each difference that is meant is a row of the table at the end of docs/protocols.md, which its case
names. What differs otherwise, or no longer differs, fails.
"""

import gzip
import json
import sys
import zlib
from pathlib import Path

import grpc
import numpy as np
import requests
from tritonclient.grpc import service_pb2, service_pb2_grpc

PAGE = Path(__file__).parents[3] / "docs" / "protocols.md"
LENGTH = "Inference-Header-Content-Length"
MODEL = "/v2/models/street"
INFER = MODEL + "/infer"
REPOSITORY = "/v2/repository"
IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
PIXELS = IMAGE.tobytes()
SHOWN, SHOWN_MEMBERS = 160, 8
# The members whose values are the server's own: counted, or told by the clock.
OWN_VALUES = ("count", "ns", "last_inference", "inference_count", "execution_count")
CODINGS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": bytes}


def in_json(tensor=None, **more):
    image = {
        "name": "image",
        "shape": [1, 4, 6, 3],
        "datatype": "UINT8",
        "data": IMAGE.tolist(),
    }
    return json.dumps({"inputs": [image | (tensor or {})], **more}).encode(), {}


def binary(shape, data=None, **more):
    data = IMAGE.tobytes() if data is None else data
    image = {
        "name": "image",
        "shape": shape,
        "datatype": "UINT8",
        "parameters": {"binary_data_size": len(data)},
    }
    wish = {"inputs": [image], "parameters": {"binary_data_output": True}, **more}
    text = json.dumps(wish).encode()
    return text + data, {LENGTH: str(len(text))}


def coded(coding):
    body, headers = binary([1, 4, 6, 3])
    return CODINGS[coding](body), headers | {"Content-Encoding": coding}


def with_length(length):
    return binary([1, 4, 6, 3])[0], {LENGTH: length}


def message(shape=(1, 4, 6, 3), data=PIXELS, datatype="UINT8", **more):
    tensor = {"name": "image", "datatype": datatype, "shape": shape}
    return {"model_name": "street", "inputs": [tensor], "raw_input_contents": [data], **more}


def typed():
    fields = message()
    del fields["raw_input_contents"]
    fields["inputs"][0]["contents"] = {"uint_contents": IMAGE.reshape(-1).tolist()}
    return fields


NOTHING = (b"", {})
TWO = np.stack([IMAGE, IMAGE[::-1, :, ::-1]])
EMPTY, METADATA, KIND = "health, model ready", "server metadata", "type of errors"
JSON_FAULT = "a body that is not JSON, has no `inputs`, values of a wrong type or count"

# what, method, path, request, the rows of the table that say why the answers differ
HTTP_CASES = [
    ("server metadata", "GET", "/v2", NOTHING, METADATA),
    ("server metadata, slash", "GET", "/v2/", NOTHING, "`/v2/`, `/v2/models`"),
    ("list of models", "GET", "/v2/models", NOTHING, "`/v2/`, `/v2/models`"),
    ("live", "GET", "/v2/health/live", NOTHING, EMPTY),
    ("ready", "GET", "/v2/health/ready", NOTHING, EMPTY),
    ("model ready", "GET", f"{MODEL}/ready", NOTHING, EMPTY),
    ("version ready", "GET", f"{MODEL}/versions/1/ready", NOTHING, EMPTY),
    ("unknown model ready", "GET", "/v2/models/nobody/ready", NOTHING, "not ready"),
    ("model metadata", "GET", MODEL, NOTHING, "platform, backend"),
    ("metadata of a version", "GET", f"{MODEL}/versions/1", NOTHING, "platform, backend"),
    ("config", "GET", f"{MODEL}/config", NOTHING, "config"),
    ("statistics", "GET", f"{MODEL}/stats", NOTHING, "statistics"),
    ("statistics of all", "GET", "/v2/models/stats", NOTHING, "statistics"),
    ("index", "POST", f"{REPOSITORY}/index", NOTHING, "repository index"),
    (
        "index of those ready",
        "POST",
        f"{REPOSITORY}/index",
        (b'{"ready":true}', {}),
        "repository index",
    ),
    ("load", "POST", f"{REPOSITORY}/models/street/load", NOTHING, None),
    ("load of nobody", "POST", f"{REPOSITORY}/models/nobody/load", NOTHING, "load, unload"),
    ("unload of nobody", "POST", f"{REPOSITORY}/models/nobody/unload", NOTHING, "load, unload"),
    ("unknown version", "GET", f"{MODEL}/versions/9", NOTHING, None),
    ("unknown model", "GET", "/v2/models/nobody", NOTHING, None),
    ("unknown path", "GET", "/v2/nowhere", NOTHING, KIND),
    ("wrong method", "GET", INFER, NOTHING, KIND),
    (
        "trace setting",
        "GET",
        "/v2/trace/setting",
        NOTHING,
        "shared memory, trace, logging, sequences",
    ),
    ("logging", "GET", "/v2/logging", NOTHING, "shared memory, trace, logging, sequences"),
    (
        "shared memory",
        "GET",
        "/v2/systemsharedmemory/status",
        NOTHING,
        "shared memory, trace, logging, sequences",
    ),
    ("binary", "POST", INFER, binary([1, 4, 6, 3]), None),
    ("two images", "POST", INFER, binary([2, 4, 6, 3], TWO.tobytes()), None),
    ("binary by version", "POST", f"{MODEL}/versions/1/infer", binary([1, 4, 6, 3]), None),
    (
        "binary, output by name",
        "POST",
        INFER,
        binary([1, 4, 6, 3], outputs=[{"name": "class_map", "parameters": {"binary_data": True}}]),
        None,
    ),
    ("binary in, JSON out", "POST", INFER, binary([1, 4, 6, 3], parameters={}), None),
    ("binary without batch", "POST", INFER, binary([4, 6, 3]), "shape [height, width, 3]"),
    ("JSON", "POST", INFER, in_json(), None),
    ("JSON, flat", "POST", INFER, in_json({"data": IMAGE.reshape(-1).tolist()}), None),
    ("JSON with id", "POST", INFER, in_json(id="7"), None),
    ("JSON with an empty id", "POST", INFER, in_json(id=""), None),
    ("JSON, output by name", "POST", INFER, in_json(outputs=[{"name": "class_map"}]), None),
    ("JSON in, binary out", "POST", INFER, in_json(parameters={"binary_data_output": True}), None),
    ("unknown members", "POST", INFER, in_json(model_name="x", more={"a": 1}), None),
    ("gzip", "POST", INFER, coded("gzip"), None),
    ("deflate", "POST", INFER, coded("deflate"), None),
    ("brotli", "POST", INFER, coded("br"), "a coding other than gzip, deflate"),
    ("unknown output", "POST", INFER, in_json(outputs=[{"name": "mask"}]), None),
    ("infer by unknown model", "POST", "/v2/models/nobody/infer", in_json(), KIND),
    ("empty body", "POST", INFER, NOTHING, None),
    ("half a body", "POST", INFER, (b"{", {}), JSON_FAULT),
    ("no inputs member", "POST", INFER, (b"{}", {}), JSON_FAULT),
    ("no inputs", "POST", INFER, (b'{"inputs": []}', {}), None),
    ("unknown input", "POST", INFER, in_json({"name": "x"}), None),
    ("another datatype", "POST", INFER, in_json({"datatype": "FP32"}), None),
    ("no datatype", "POST", INFER, in_json({"datatype": "X"}), None),
    ("another shape", "POST", INFER, in_json({"shape": [1, 4, 6, 4]}), JSON_FAULT),
    ("channels first", "POST", INFER, in_json({"shape": [1, 3, 4, 6]}), None),
    (
        "lists of another shape",
        "POST",
        INFER,
        in_json({"shape": [1, 6, 4, 3]}),
        "nested lists of another shape than `shape`",
    ),
    ("negative shape", "POST", INFER, in_json({"shape": [-1, 4, 6, 3]}), JSON_FAULT),
    ("too few values", "POST", INFER, in_json({"data": [1, 2]}), JSON_FAULT),
    ("value 300", "POST", INFER, in_json({"data": [300] * 72}), "value 300 for UINT8"),
    ("value 1.5", "POST", INFER, in_json({"data": [1.5] * 72}), JSON_FAULT),
    ("too few bytes", "POST", INFER, binary([1, 4, 6, 3], IMAGE.tobytes()[:-1]), None),
    ("too many bytes", "POST", INFER, binary([1, 4, 6, 3], IMAGE.tobytes() + b"x"), None),
    ("negative length", "POST", INFER, with_length("-1"), KIND),
    ("length beyond the body", "POST", INFER, with_length("99999"), KIND),
    (
        "raw pixels",
        "POST",
        INFER,
        (IMAGE.tobytes(), {LENGTH: "0"}),
        "raw-binary request (header 0)",
    ),
    (
        "20 images",
        "POST",
        INFER,
        binary([20, 4, 6, 3], IMAGE.tobytes() * 20),
        "images of a request",
    ),
    (
        "unknown parameter",
        "POST",
        INFER,
        in_json(parameters={"clases": "x"}),
        "a parameter that nothing knows",
    ),
    (
        "sequence",
        "POST",
        INFER,
        in_json(parameters={"sequence_id": 1, "sequence_start": True}),
        None,
    ),
    (
        "classification",
        "POST",
        INFER,
        in_json(outputs=[{"name": "class_map", "parameters": {"classification": 2}}]),
        "`classification`",
    ),
    ("timeout of 1 µs", "POST", INFER, in_json(parameters={"timeout": 1}), "`timeout`"),
    ("timeout of a minute", "POST", INFER, in_json(parameters={"timeout": 60_000_000}), None),
]

READY = "not ready"
# what, method, message, the row that says why the answers differ
GRPC_CASES = [
    ("live", "ServerLive", {}, None),
    ("ready", "ServerReady", {}, None),
    ("model ready", "ModelReady", {"name": "street"}, None),
    ("unknown model ready", "ModelReady", {"name": "nobody"}, READY),
    ("server metadata", "ServerMetadata", {}, METADATA),
    ("model metadata", "ModelMetadata", {"name": "street"}, "platform, backend"),
    ("unknown model", "ModelMetadata", {"name": "nobody"}, None),
    ("unknown version", "ModelMetadata", {"name": "street", "version": "9"}, None),
    ("config", "ModelConfig", {"name": "street"}, "config"),
    ("statistics", "ModelStatistics", {"name": "street"}, "statistics"),
    ("index", "RepositoryIndex", {}, "repository index"),
    ("load", "RepositoryModelLoad", {"model_name": "street"}, None),
    ("load of nobody", "RepositoryModelLoad", {"model_name": "nobody"}, "load, unload"),
    ("shared memory", "SystemSharedMemoryStatus", {}, "shared memory, trace, logging, sequences"),
    ("pixels", "ModelInfer", message(), None),
    ("two images", "ModelInfer", message([2, 4, 6, 3], TWO.tobytes()), None),
    ("pixels with id", "ModelInfer", message(id="7"), None),
    ("pixels, output by name", "ModelInfer", message(outputs=[{"name": "class_map"}]), None),
    ("typed contents", "ModelInfer", typed(), None),
    ("without batch", "ModelInfer", message([4, 6, 3]), "shape [height, width, 3]"),
    ("unknown output", "ModelInfer", message(outputs=[{"name": "mask"}]), None),
    ("too few bytes", "ModelInfer", message(data=IMAGE.tobytes()[:-1]), None),
    ("another datatype", "ModelInfer", message(datatype="FP32"), None),
    ("channels first", "ModelInfer", message([1, 3, 4, 6]), None),
    ("negative shape", "ModelInfer", message([-1, 4, 6, 3]), None),
    ("by an unknown model", "ModelInfer", message(model_name="nobody"), None),
    ("no inputs", "ModelInfer", {"model_name": "street"}, None),
]


def ask_http(server, method, path, request):
    """Status, type, document, tensors."""
    body, headers = request
    url = f"http://{server}{path}"
    answer = requests.request(method, url, data=body, headers=headers, timeout=60)
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    text = answer.content[:length]
    kind = answer.headers.get("Content-Type") if text else None
    return (
        answer.status_code,
        kind,
        json.loads(text) if text else None,
        answer.content[length:],
    )


def ask_grpc(server, method, fields):
    """Code, None, fields of the answer or of the fault, tensors."""
    with grpc.insecure_channel(server) as channel:
        call = getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), method)
        try:
            answer = call(getattr(service_pb2, f"{method}Request")(**fields), timeout=60)
        except grpc.RpcError as error:
            return error.code().name, None, {"error": error.details()}, b""
    document = {field.name: value for field, value in answer.ListFields()}
    tensors = b"".join(document.pop("raw_output_contents", []))
    return "OK", None, {name: str(value) for name, value in document.items()}, tensors


def members(document, place=""):
    """Each value of a document by its place in it."""
    if isinstance(document, dict) and document:
        for name, value in document.items():
            yield from members(value, f"{place}.{name}" if place else name)
    elif isinstance(document, list) and document:
        for index, value in enumerate(document):
            yield from members(value, f"{place}[{index}]")
    else:
        own = place.rpartition(".")[2] in OWN_VALUES
        yield place, "a number" if own and isinstance(document, int) else document


def differences(theirs, ours):
    """What differs, each with both values. Sentences are worded otherwise, so they are not held
    against each other where both are refusals."""
    names = ("status", "type", "document", "tensors")
    found = {
        name: (one, other)
        for name, one, other in zip(names, theirs, ours, strict=True)
        if name != "document" and one != other
    }
    left, right = dict(members(theirs[2])), dict(members(ours[2]))
    for place in [*left, *(place for place in right if place not in left)]:
        if place == "error" and place in left and place in right:
            continue
        one, other = left.get(place, "–"), right.get(place, "–")
        if one != other:
            found[place] = (one, other)
    return found


def compare(name, theirs, ours, row, rows):
    """Print both answers where they differ, and give whether that is not as the page says."""
    found = differences(theirs, ours)
    known = row is None or row in rows
    as_meant = bool(found) == (row is not None) and known
    state = "same" if not found else f"meant ({row})" if as_meant else "DIFFERS"
    if not as_meant and not found:
        state = f"NO LONGER DIFFERS ({row})"
    if not known:
        state += f", AND docs/protocols.md HAS NO ROW {row!r}"
    print(f"{name} – {state}")
    for place, (one, other) in list(found.items())[:SHOWN_MEMBERS]:
        print(f"   {place}: {str(one)[:SHOWN]!r} | {str(other)[:SHOWN]!r}")
    if "error" in (ours[2] or {}) and "error" in (theirs[2] or {}):
        print(f"   Triton:   {theirs[2]['error'][:SHOWN]}")
        print(f"   segserve: {ours[2]['error'][:SHOWN]}")
    return not as_meant


def main():
    http, rpc = (sys.argv[1], sys.argv[3]), (sys.argv[2], sys.argv[4])
    rows = {line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if "|" in line}
    wrong = 0
    for name, method, path, request, row in HTTP_CASES:
        theirs, ours = (ask_http(server, method, path, request) for server in http)
        wrong += compare(f"HTTP, {name}", theirs, ours, row, rows)
    for name, method, fields, row in GRPC_CASES:
        theirs, ours = (ask_grpc(server, method, fields) for server in rpc)
        wrong += compare(f"gRPC, {name}", theirs, ours, row, rows)
    total = len(HTTP_CASES) + len(GRPC_CASES)
    print(f"{total} requests, {wrong} not as docs/protocols.md says")
    sys.exit(wrong != 0)


main()
