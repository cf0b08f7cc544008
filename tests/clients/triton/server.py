"""The real Triton, which PyTriton carries, with a model `street` of segserve's input and output.

    python server.py HTTP_PORT GRPC_PORT METRICS_PORT

It becomes tritonserver itself, for PyTriton locks statistics and the repository. Triton's Python
backend wants a Python of Debian's or the like: one that pyenv builds may be of another patch level
than it expects.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytriton

CONFIG = """
backend: "python"
max_batch_size: 16
input { name: "image" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }
output { name: "class_map" data_type: TYPE_UINT8 dims: [ -1, -1 ] }
dynamic_batching { }
parameters { key: "EXECUTION_ENV_PATH" value { string_value: "%s" } }
"""
MODEL = """
import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        images = [triton.get_input_tensor_by_name(one, "image").as_numpy() for one in requests]
        maps = [image.argmax(-1).astype(np.uint8) for image in images]
        return [triton.InferenceResponse([triton.Tensor("class_map", one)]) for one in maps]
"""

own = Path(pytriton.__file__).parent
folder = Path(tempfile.mkdtemp())
backend = folder / "backends" / "python"
shutil.copytree(own / "tritonserver" / "backends" / "python", backend)
stubs = own / "tritonserver" / "python_backend_stubs"
version = f"{sys.version_info.major}.{sys.version_info.minor}"
shutil.copy(stubs / version / "triton_python_backend_stub", backend)
model = folder / "models" / "street" / "1"
model.mkdir(parents=True)
(model.parent / "config.pbtxt").write_text(CONFIG % sys.exec_prefix)
(model / "model.py").write_text(MODEL)
os.environ["LD_LIBRARY_PATH"] = str(own.parent / "nvidia_pytriton.libs")
http, grpc, metrics = sys.argv[1:]
options = {
    "model-repository": folder / "models",
    "backend-directory": folder / "backends",
    "model-control-mode": "explicit",
    "load-model": "street",
    "http-port": http,
    "grpc-port": grpc,
    "metrics-port": metrics,
}
command = str(own / "tritonserver" / "bin" / "tritonserver")
os.execv(command, [command, *(f"--{name}={value}" for name, value in options.items())])
