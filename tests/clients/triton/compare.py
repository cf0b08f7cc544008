"""The same requests to Triton and to segserve; status, type and body of both answers, beside each
other.

    python compare.py http://127.0.0.1:TRITON http://127.0.0.1:SEGSERVE

What differs, and why, is in docs/protocols.md.
"""

import gzip
import json
import sys

import numpy as np
import requests

LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/street/infer"
IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
SHOWN = 160


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


def coded(coding, pack):
    body, headers = binary([1, 4, 6, 3])
    return pack(body), headers | {"Content-Encoding": coding}


def with_length(length):
    return binary([1, 4, 6, 3])[0], {LENGTH: length}


NOTHING = (b"", {})
CASES = [
    ("server metadata", "GET", "/v2", NOTHING),
    ("server metadata, slash", "GET", "/v2/", NOTHING),
    ("live", "GET", "/v2/health/live", NOTHING),
    ("ready", "GET", "/v2/health/ready", NOTHING),
    ("model metadata", "GET", "/v2/models/street", NOTHING),
    ("model ready", "GET", "/v2/models/street/ready", NOTHING),
    ("unknown version", "GET", "/v2/models/street/versions/9", NOTHING),
    ("unknown model", "GET", "/v2/models/nobody", NOTHING),
    ("unknown model ready", "GET", "/v2/models/nobody/ready", NOTHING),
    ("config", "GET", "/v2/models/street/config", NOTHING),
    ("list of models", "GET", "/v2/models", NOTHING),
    ("unknown path", "GET", "/v2/nowhere", NOTHING),
    ("wrong method", "GET", INFER, NOTHING),
    ("binary", "POST", INFER, binary([1, 4, 6, 3])),
    ("binary without batch", "POST", INFER, binary([4, 6, 3])),
    ("JSON", "POST", INFER, in_json()),
    ("JSON with id", "POST", INFER, in_json(id="7")),
    ("JSON, output by name", "POST", INFER, in_json(outputs=[{"name": "class_map"}])),
    ("gzip", "POST", INFER, coded("gzip", gzip.compress)),
    ("brotli", "POST", INFER, coded("br", bytes)),
    ("unknown output", "POST", INFER, in_json(outputs=[{"name": "mask"}])),
    ("infer by unknown model", "POST", "/v2/models/nobody/infer", in_json()),
    ("empty body", "POST", INFER, NOTHING),
    ("half a body", "POST", INFER, (b"{", {})),
    ("no inputs member", "POST", INFER, (b"{}", {})),
    ("no inputs", "POST", INFER, (b'{"inputs": []}', {})),
    ("unknown input", "POST", INFER, in_json({"name": "x"})),
    ("another datatype", "POST", INFER, in_json({"datatype": "FP32"})),
    ("another shape", "POST", INFER, in_json({"shape": [1, 4, 6, 4]})),
    ("channels first", "POST", INFER, in_json({"shape": [1, 3, 4, 6]})),
    ("too few values", "POST", INFER, in_json({"data": [1, 2]})),
    ("value 300", "POST", INFER, in_json({"data": [300] * 72})),
    ("value 1.5", "POST", INFER, in_json({"data": [1.5] * 72})),
    ("too few bytes", "POST", INFER, binary([1, 4, 6, 3], IMAGE.tobytes()[:-1])),
    ("too many bytes", "POST", INFER, binary([1, 4, 6, 3], IMAGE.tobytes() + b"x")),
    ("negative length", "POST", INFER, with_length("-1")),
    ("length beyond the body", "POST", INFER, with_length("99999")),
    ("raw pixels", "POST", INFER, (IMAGE.tobytes(), {LENGTH: "0"})),
    ("20 images", "POST", INFER, binary([20, 4, 6, 3], IMAGE.tobytes() * 20)),
    ("unknown parameter", "POST", INFER, in_json(parameters={"clases": "x"})),
    (
        "classification",
        "POST",
        INFER,
        in_json(outputs=[{"name": "class_map", "parameters": {"classification": 2}}]),
    ),
    ("timeout of 1 µs", "POST", INFER, in_json(parameters={"timeout": 1})),
]


def ask(server, method, path, request):
    body, headers = request
    answer = requests.request(method, server + path, data=body, headers=headers, timeout=60)
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    text = answer.content[:length].decode("utf-8", "replace")
    return (
        answer.status_code,
        answer.headers.get("Content-Type"),
        text,
        len(answer.content) - length,
    )


triton, segserve = sys.argv[1:]
for name, method, path, request in CASES:
    theirs, ours = (ask(server, method, path, request) for server in (triton, segserve))
    print(name, "–", "same" if theirs == ours else "differs")
    if theirs != ours:
        for who, (status, kind, text, _) in (("Triton  ", theirs), ("segserve", ours)):
            print(f"   {who} {status} {kind} {text[:SHOWN]}")
