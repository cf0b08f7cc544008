"""KServe's own gRPC client."""

import asyncio
import logging
import sys
from pathlib import Path

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from PIL import Image

logging.disable()  # it logs what it is refused
HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
PIXELS = np.array(Image.open(FOLDER / "image.png").convert("RGB"))
FILE = (FOLDER / "image.png").read_bytes()
EXPECTED = np.load(FOLDER / "class_map.npy")


def class_map_of(response):
    return response.outputs[0].as_numpy()


async def check():
    client = InferenceGRPCClient(HOST)
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("street")
    tensor = InferInput("image", [1, *PIXELS.shape], "UINT8")
    tensor.set_data_from_numpy(PIXELS[np.newaxis], binary_data=True)
    response = await client.infer(InferRequest("street", [tensor]))
    np.testing.assert_array_equal(class_map_of(response)[0], EXPECTED)
    # numbers as typed contents, and a file as they are
    small = PIXELS[:32, :48]
    tensor = InferInput("image", list(small.shape), "UINT8", data=small.reshape(-1).tolist())
    response = await client.infer(InferRequest("street", [tensor]))
    assert class_map_of(response).shape == small.shape[:2]
    tensor = InferInput("image", [1], "BYTES", data=[FILE])
    response = await client.infer(InferRequest("street", [tensor]))
    np.testing.assert_array_equal(class_map_of(response)[0], EXPECTED)
    try:
        await client.infer(InferRequest("nobody", [tensor]))
    except grpc.RpcError as error:
        code = error.code()
    assert code == grpc.StatusCode.NOT_FOUND


asyncio.run(check())
print("kserve: gRPC agrees with the native answer")
