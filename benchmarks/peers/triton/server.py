"""Triton Inference Server, as PyTriton carries it: files in a BYTES tensor, PNGs in another.

VIA=repository is Triton's own way: a model repository whose model is Python's (model.py), INSTANCES
processes of it with THREADS cores each. VIA=pytriton is PyTriton's: INSTANCES functions in one
process, to which Triton hands its batches. Either takes batches of up to BATCH within WAIT_MS.
"""

import os
import shutil
import sys
from pathlib import Path

import model
import numpy as np
import pytriton
import segmentation
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from segmentation import Segmentation, number

CONFIG = """
backend: "python"
max_batch_size: {batch}
input {{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }}
output {{ name: "png" data_type: TYPE_STRING dims: [ 1 ] }}
instance_group {{ count: {instances} kind: KIND_CPU }}
parameters {{ key: "EXECUTION_ENV_PATH" value {{ string_value: "{environment}" }} }}
{batching}
"""
DYNAMIC_BATCHING = "dynamic_batching {{ max_queue_delay_microseconds: {microseconds} }}"


def serve_repository(folder: Path, batch: int, instances: int, wait_ms: int) -> None:
    """Write a model repository into `folder`, and become tritonserver."""
    own = Path(pytriton.__file__).parent
    backend = folder / "backends" / "python"
    shutil.copytree(own / "tritonserver" / "backends" / "python", backend)
    stub = own / "tritonserver" / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
    shutil.copy(stub, backend)
    version = folder / "models" / "street" / "1"
    version.mkdir(parents=True)
    for module in (model, segmentation):  # the backend's Python finds no others
        shutil.copy(str(module.__file__), version)
    batching = DYNAMIC_BATCHING.format(microseconds=1000 * wait_ms) if batch > 1 else ""
    config = CONFIG.format(
        batch=batch, instances=instances, batching=batching, environment=sys.exec_prefix
    )
    (version.parent / "config.pbtxt").write_text(config)
    os.environ["LD_LIBRARY_PATH"] = str(own.parent / "nvidia_pytriton.libs")
    options = {
        "model-repository": folder / "models",
        "backend-directory": folder / "backends",
        "http-address": "127.0.0.1",
        "http-port": number("PORT"),
        "allow-grpc": "false",
        "allow-metrics": "false",
        "log-info": "false",
    }
    command = str(own / "tritonserver" / "bin" / "tritonserver")
    os.execv(command, [command, *(f"--{name}={value}" for name, value in options.items())])


def serve_pytriton(batch: int, instances: int, wait_ms: int) -> None:
    loaded = Segmentation()

    def infer(requests):  # type: ignore[no-untyped-def]  # PyTriton's
        files = [request["image"].reshape(-1)[0] for request in requests]
        return [{"png": np.array([[png]], object)} for png in model.answer(loaded, files)]

    config = TritonConfig(http_port=number("PORT"), http_address="127.0.0.1", allow_grpc=False)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="street",
            infer_func=[infer] * instances,
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="png", dtype=bytes, shape=(1,))],
            config=ModelConfig(
                max_batch_size=batch,
                batching=batch > 1,
                batcher=DynamicBatcher(max_queue_delay_microseconds=1000 * wait_ms),
            ),
        )
        triton.serve()


if __name__ == "__main__":
    settings = number("BATCH", 1), number("INSTANCES", 1), number("WAIT_MS")
    if os.environ.get("VIA") == "pytriton":
        serve_pytriton(*settings)
    else:
        serve_repository(Path.cwd(), *settings)
