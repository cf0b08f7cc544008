"""The real Triton, which PyTriton carries, with a model `street` of segserve's input and output.

    python server.py HTTP_PORT GRPC_PORT METRICS_PORT

Its Python backend wants a Python of Debian's or the like: one that pyenv builds may be of another
patch level than it expects.
"""

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


@batch
def strongest_channel(image):
    return {"class_map": image.argmax(-1).astype(np.uint8)}


http, grpc, metrics = map(int, sys.argv[1:])
with Triton(config=TritonConfig(http_port=http, grpc_port=grpc, metrics_port=metrics)) as triton:
    triton.bind(
        model_name="street",
        infer_func=strongest_channel,
        inputs=[Tensor(name="image", dtype=np.uint8, shape=(-1, -1, 3))],
        outputs=[Tensor(name="class_map", dtype=np.uint8, shape=(-1, -1))],
        config=ModelConfig(max_batch_size=16),
    )
    triton.serve()
