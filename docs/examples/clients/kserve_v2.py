"""Segment a photograph with KServe's client, protocol v2.

python kserve_v2.py HOST:PORT MODEL PHOTOGRAPH MASK.png      (pip install kserve pillow)
"""

import asyncio
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from PIL import Image


async def main() -> None:
    server, model, photograph, mask = sys.argv[1:]
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_model_ready(f"http://{server}", model)
    pixels = np.array(Image.open(photograph).convert("RGB"))[np.newaxis]
    image = InferInput("image", list(pixels.shape), "UINT8")
    image.set_data_from_numpy(pixels, binary_data=True)
    answer = await client.infer(f"http://{server}", InferRequest(model, [image]), model_name=model)
    class_map = answer.outputs[0].as_numpy().astype(np.uint8)[0]
    Image.fromarray(class_map).save(mask)


asyncio.run(main())
