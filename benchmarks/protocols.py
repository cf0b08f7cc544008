"""Question: what does each protocol cost beside /segment?

    .venv/bin/python -m benchmarks.protocols          (4 minutes)

The same 480×360 photographs at concurrency 8 to one server, in turn: as JPEG to /segment, as JPEG
and as pixels by the Open Inference Protocol (binary, JSON, gRPC), and as base64 by TensorFlow
Serving's REST. The ratio is images a second over /segment's.
"""

import asyncio
import base64
import io
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import grpc
import numpy as np
import orjson
from PIL import Image

from benchmarks.bare import IMAGES, Outcome
from benchmarks.load import HOST, Load, Sample, closed_loop, fetch, request_of
from benchmarks.measuring import alternate, begin, ratio, summary
from benchmarks.pictures import photographs, source
from benchmarks.servers import free_port, running, segserve
from service.protocols.oip.request import HEADER_LENGTH
from service.protocols.oip.rpc.messages import INFERENCE

MODEL = "street"
CONCURRENCY = 8
ROUNDS = 5
SECONDS = 6.0
RAMP_SECONDS = 1.0
NATIVE = "/segment, JPEG"


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    photos = photographs(IMAGES)
    pixels = [np.array(Image.open(io.BytesIO(photo)).convert("RGB")) for photo in photos]
    requests = {
        NATIVE: [request_of(photo, "/segment") for photo in photos],
        "v2, JPEG": [_post(_path(), photo, {HEADER_LENGTH: "0"}) for photo in photos],
        "v2, pixels binary": [_binary(image) for image in pixels],
        "v2, pixels JSON": [_json(image) for image in pixels],
        "v1, JPEG in base64": [_base64(photo) for photo in photos],
    }
    seconds = run.seconds(SECONDS)
    port = free_port()
    with running(segserve("segserve", "--grpc-port", str(port)), photos[0]) as server:
        for name, (first, *_) in requests.items():
            reply = fetch(server.port, first)
            assert reply.status == 200, (name, reply.body[:500])
        ways: dict[str, Callable[[], Outcome]] = {
            name: partial(_http, server.port, wires, seconds) for name, wires in requests.items()
        }
        ways["gRPC, pixels"] = partial(_grpc, port, [_message(image) for image in pixels], seconds)
        outcomes = alternate(ways, run.rounds(ROUNDS), f"{CONCURRENCY} at once")
    rates = {name: [one.rate for one in rounds] for name, rounds in outcomes.items()}
    result: dict[str, Any] = {
        "images": source(),
        "concurrency": CONCURRENCY,
        "images_a_second": {name: summary(values) for name, values in rates.items()},
        "over_native": {name: ratio(values, rates[NATIVE]) for name, values in rates.items()},
        "p99_seconds": {
            name: summary([one.latencies["p99"] for one in rounds])
            for name, rounds in outcomes.items()
        },
    }
    run.write("protocols", result)


def _path() -> str:
    return f"/v2/models/{MODEL}/infer"


def _post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _tensor(image: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"name": "image", "datatype": "UINT8", "shape": list(image.shape)}


def _binary(image: np.ndarray[Any, Any]) -> bytes:
    tensor = {**_tensor(image), "parameters": {"binary_data_size": image.nbytes}}
    wish = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    text = orjson.dumps(wish)
    return _post(_path(), text + image.tobytes(), {HEADER_LENGTH: str(len(text))})


def _json(image: np.ndarray[Any, Any]) -> bytes:
    wish = {"inputs": [{**_tensor(image), "data": image.tolist()}]}
    return _post(_path(), orjson.dumps(wish), {})


def _base64(photo: bytes) -> bytes:
    wish = {"instances": [{"b64": base64.b64encode(photo).decode()}]}
    return _post(f"/v1/models/{MODEL}:predict", orjson.dumps(wish), {})


def _message(image: np.ndarray[Any, Any]) -> bytes:
    message = INFERENCE["ModelInferRequest"](
        model_name=MODEL, inputs=[_tensor(image)], raw_input_contents=[image.tobytes()]
    )
    wire: bytes = message.SerializeToString()
    return wire


def _http(port: int, requests: list[bytes], seconds: float) -> Outcome:
    return Outcome.of(closed_loop(port, requests, CONCURRENCY, seconds, ramp_seconds=RAMP_SECONDS))


def _grpc(port: int, messages: list[bytes], seconds: float) -> Outcome:
    """As `closed_loop`, with messages made beforehand and answers left as they are."""

    async def load() -> Load:
        samples: list[Sample] = []
        waiting = cycle(messages)
        cpu, began = time.process_time(), time.perf_counter() + RAMP_SECONDS
        ended = began + seconds
        async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

            async def caller() -> None:
                while (sent := time.perf_counter()) < ended:
                    await call(next(waiting))
                    now = time.perf_counter()
                    if now >= began:
                        samples.append(Sample(200, now - sent, now))

            await asyncio.gather(*(caller() for _ in range(CONCURRENCY)))
        now = time.perf_counter()
        share = (time.process_time() - cpu) / (now - began + RAMP_SECONDS)
        return Load(samples, began, min(ended, now), share)

    return Outcome.of(asyncio.run(load()))


if __name__ == "__main__":
    main()
