"""NVIDIA's own client over gRPC, and over gRPC with asyncio."""

import asyncio
import queue
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc.aio as grpc_aio
from PIL import Image
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
PIXELS = np.array(Image.open(FOLDER / "image.png").convert("RGB"))
FILE = np.array([[(FOLDER / "image.png").read_bytes()]], dtype=object)
EXPECTED = np.load(FOLDER / "class_map.npy")


def image_input(module, array, datatype):
    tensor = module.InferInput("image", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def refused(call):
    """What the client tells its caller."""
    try:
        call()
    except InferenceServerException as error:
        return f"{error.status()}: {error.message()}"
    raise AssertionError("it was let in")


def check_grpc():
    with grpc.InferenceServerClient(HOST) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("street", "1")
        assert client.get_server_metadata().name == "segserve"
        assert client.get_model_metadata("street").inputs[0].datatype == "UINT8"
        assert (
            client.get_model_config("street", as_json=True)["config"]["input"][0]["name"] == "image"
        )
        assert "street" in {model.name for model in client.get_model_repository_index().models}
        client.load_model("street")
        assert "UNIMPLEMENTED" in refused(lambda: client.unload_model("street"))
        assert "NOT_FOUND" in refused(lambda: client.get_model_metadata("nobody"))
        before = client.get_inference_statistics("street").model_stats[0].inference_count
        answer = client.infer("street", [image_input(grpc, PIXELS, "UINT8")], request_id="7")
        assert answer.get_response().id == "7"
        np.testing.assert_array_equal(answer.as_numpy("class_map"), EXPECTED)
        asked = [grpc.InferRequestedOutput("png"), grpc.InferRequestedOutput("confidence")]
        files = [image_input(grpc, FILE, "BYTES")]
        answer = client.infer("street.file", files, outputs=asked, compression_algorithm="gzip")
        assert answer.as_numpy("png")[0] == (FOLDER / "class_map.png").read_bytes()
        assert answer.as_numpy("confidence").shape == (1, *EXPECTED.shape)
        assert client.get_inference_statistics("street").model_stats[0].inference_count > before
        first = image_input(grpc, PIXELS.transpose(2, 0, 1), "UINT8")
        assert "The channels come last" in refused(lambda: client.infer("street", [first]))
        check_stream(client)


def check_stream(client):
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    frames = [PIXELS, PIXELS[:100], PIXELS[:, :100].copy()]
    for index, frame in enumerate(frames):
        tensor = image_input(grpc, frame, "UINT8")
        client.async_stream_infer("street", [tensor], request_id=str(index))
    for index, frame in enumerate(frames):
        result, error = answers.get(timeout=60)
        assert error is None, error
        assert result.get_response().id == str(index)
        assert result.as_numpy("class_map").shape == frame.shape[:2]
    client.stop_stream()


async def check_aio():
    async with grpc_aio.InferenceServerClient(HOST) as client:
        assert await client.is_server_ready()
        answers = await asyncio.gather(
            *(client.infer("street", [image_input(grpc_aio, PIXELS, "UINT8")]) for _ in range(4))
        )
        for answer in answers:
            np.testing.assert_array_equal(answer.as_numpy("class_map"), EXPECTED)


check_grpc()
asyncio.run(check_aio())
print("tritonclient: grpc and grpc.aio agree with the native answer")
