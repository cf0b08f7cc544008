"""NVIDIA's own client, as its users write for Triton: HTTP and HTTP with asyncio."""

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http.aio as http_aio
from PIL import Image
from tritonclient import http
from tritonclient.utils import InferenceServerException

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
PIXELS = np.array(Image.open(FOLDER / "image.png").convert("RGB"))
FILE = (FOLDER / "image.png").read_bytes()
EXPECTED = np.load(FOLDER / "class_map.npy")


def refused(call):
    """The sentence that the client gives its caller."""
    try:
        call()
    except InferenceServerException as error:
        return error.message()
    raise AssertionError("it was let in")


def image_input(module, array, datatype, **options):
    tensor = module.InferInput("image", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, **options)
    return tensor


def check_server(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("street")
    assert client.is_model_ready("street", "1")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata()["name"] == "segserve"
    metadata = client.get_model_metadata("street")
    assert metadata["inputs"][0]["datatype"] == "UINT8", metadata
    config = client.get_model_config("street")
    assert config["input"][0]["data_type"] == "TYPE_UINT8", config
    assert "street" in {entry["name"] for entry in client.get_model_repository_index()}
    client.load_model("street")
    assert "store" in refused(lambda: client.unload_model("street"))
    assert "no model" in refused(lambda: client.get_model_metadata("nobody"))


def check_http():
    with http.InferenceServerClient(HOST) as client:
        check_server(client)
        before = client.get_inference_statistics("street")["model_stats"][0]
        for binary in (True, False):
            for coding in (None, "gzip", "deflate"):
                answer = client.infer(
                    "street",
                    [image_input(http, PIXELS[np.newaxis], "UINT8", binary_data=binary)],
                    outputs=[http.InferRequestedOutput("class_map", binary_data=binary)],
                    request_id="7",
                    request_compression_algorithm=coding,
                    response_compression_algorithm="gzip",
                )
                np.testing.assert_array_equal(answer.as_numpy("class_map")[0], EXPECTED)
                assert answer.get_response()["id"] == "7"
        # without outputs, the client asks for all in binary
        answer = client.infer("street", [image_input(http, PIXELS, "UINT8")])
        np.testing.assert_array_equal(answer.as_numpy("class_map"), EXPECTED)
        batch = np.stack([PIXELS, PIXELS[::-1]])
        answer = client.infer("street", [image_input(http, batch, "UINT8")])
        np.testing.assert_array_equal(answer.as_numpy("class_map")[0], EXPECTED)
        check_files(client)
        pending = client.async_infer("street", [image_input(http, PIXELS, "UINT8")])
        np.testing.assert_array_equal(pending.get_result().as_numpy("class_map"), EXPECTED)
        after = client.get_inference_statistics("street")["model_stats"][0]
        assert after["inference_count"] > before["inference_count"]
        check_refusals(client)


def check_files(client):
    file = np.array([[FILE]], dtype=object)  # dtype S would drop zeros at the end
    asked = [http.InferRequestedOutput(name) for name in ("png", "rle", "probabilities")]
    answer = client.infer("street.file", [image_input(http, file, "BYTES")], outputs=asked)
    assert answer.as_numpy("png")[0] == (FOLDER / "class_map.png").read_bytes()
    assert json.loads(answer.as_numpy("rle")[0])["width"] == PIXELS.shape[1]
    probabilities = answer.as_numpy("probabilities")[0]
    assert probabilities.dtype == np.float32
    assert (probabilities.argmax(-1) == EXPECTED).mean() > 0.999


def check_refusals(client):
    first = PIXELS.transpose(2, 0, 1)
    tensors = [image_input(http, first[np.newaxis], "UINT8")]
    assert "The channels come last" in refused(lambda: client.infer("street", tensors))
    floats = [image_input(http, PIXELS.astype(np.float32), "FP32")]
    assert "takes UINT8" in refused(lambda: client.infer("street", floats))
    outputs = [http.InferRequestedOutput("class_map", class_count=3)]
    pixels = [image_input(http, PIXELS, "UINT8")]
    sentence = refused(lambda: client.infer("street", pixels, outputs=outputs))
    assert "a class to every pixel" in sentence


async def check_aio():
    async with http_aio.InferenceServerClient(HOST) as client:
        assert await client.is_server_ready()
        assert (await client.get_model_metadata("street"))["name"] == "street"
        answers = await asyncio.gather(
            *(client.infer("street", [image_input(http_aio, PIXELS, "UINT8")]) for _ in range(4))
        )
        for answer in answers:
            np.testing.assert_array_equal(answer.as_numpy("class_map"), EXPECTED)
        try:
            await client.infer("nobody", [image_input(http_aio, PIXELS, "UINT8")])
        except InferenceServerException as error:
            message = error.message()
        assert "no model" in message


check_http()
asyncio.run(check_aio())
print("tritonclient: http and http.aio agree with the native answer")
