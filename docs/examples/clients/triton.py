"""Segment a photograph with NVIDIA's client, as written for Triton.

python triton.py HOST:PORT MODEL PHOTOGRAPH MASK.png      (pip install tritonclient[http] pillow)
"""

import sys

import numpy as np
import tritonclient.http as triton
from PIL import Image

server, model, photograph, mask = sys.argv[1:]
client = triton.InferenceServerClient(server)
assert client.is_model_ready(model)
metadata = client.get_model_metadata(model)
config = client.get_model_config(model)
(tensor,) = metadata["inputs"]
(output,) = metadata["outputs"]

pixels = np.array(Image.open(photograph).convert("RGB"))
if config["max_batch_size"] > 0:
    pixels = pixels[np.newaxis]
image = triton.InferInput(tensor["name"], list(pixels.shape), tensor["datatype"])
image.set_data_from_numpy(pixels)
answer = client.infer(model, [image], outputs=[triton.InferRequestedOutput(output["name"])])
class_map = answer.as_numpy(output["name"]).reshape(pixels.shape[-3:-1])
Image.fromarray(class_map).save(mask)
