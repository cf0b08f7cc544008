"""KServe's own REST client, protocols v1 and v2."""

import asyncio
import base64
import sys
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from PIL import Image

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
PIXELS = np.array(Image.open(FOLDER / "image.png").convert("RGB"))
FILE = (FOLDER / "image.png").read_bytes()
EXPECTED = np.load(FOLDER / "class_map.npy")
URL = f"http://{HOST}"


def class_map_of(response):
    output = response.outputs[0]
    return np.array(output.data, np.uint8).reshape(output.shape)


async def check_v2():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(URL)
    assert await client.is_server_ready(URL)
    assert await client.is_model_ready(URL, "street")
    small = PIXELS[:64, :96]
    by_size = {}
    for binary_in in (True, False):
        for binary_out in (True, False):
            tensor = InferInput("image", [1, *small.shape], "UINT8")
            tensor.set_data_from_numpy(small[np.newaxis], binary_data=binary_in)
            request = InferRequest(
                "street", [tensor], parameters={"binary_data_output": binary_out}
            )
            response = await client.infer(URL, request, model_name="street")
            by_size[binary_in, binary_out] = class_map_of(response)
    first, *others = by_size.values()
    assert first.shape == (1, 64, 96)
    for other in others:
        np.testing.assert_array_equal(other, first)
    text = base64.b64encode(FILE).decode()
    document = {
        "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}],
    }
    response = await client.infer(URL, document, model_name="street")
    np.testing.assert_array_equal(class_map_of(response)[0], EXPECTED)
    try:
        await client.infer(URL, document, model_name="nobody")
    except httpx.HTTPStatusError as error:
        message = str(error)
    assert "no model" in message


async def check_v1():
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await client.is_model_ready(URL, "street")
    text = base64.b64encode(FILE).decode()
    for instance in ({"image": {"b64": text}}, {"image_bytes": {"b64": text}}, {"b64": text}):
        response = await client.infer(URL, {"instances": [instance]}, model_name="street")
        np.testing.assert_array_equal(np.array(response["predictions"][0]), EXPECTED)


asyncio.run(check_v2())
asyncio.run(check_v1())
print("kserve: REST v1 and v2 agree with the native answer")
