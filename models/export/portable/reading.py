"""Which reader takes a file, by its name and its first bytes."""

from collections.abc import Callable, Mapping
from pathlib import Path

from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.portable.network import PortableNetwork
from models.export.portable.onnx_files import read_onnx
from models.export.portable.openvino_files import read_ir, read_litert
from models.export.portable.torch_files import read_torch

READERS: Mapping[str, Callable[[Path, AdoptOptions], PortableNetwork]] = {
    ".onnx": read_onnx,
    ".xml": read_ir,
    ".tflite": read_litert,
}

# Of these, torch_files opens none that hold weights alone, or code that would run as it is read.
PYTORCH = (
    ".pt",
    ".pth",
    ".pt2",
    ".ckpt",
    ".bin",
    ".pkl",
    ".pickle",
    ".safetensors",
    ".torchscript",
)


def is_portable(path: Path) -> bool:
    """Whether `read_portable` is who reads it, or says why nobody does."""
    return path.suffix.lower() in (*READERS, *PYTORCH)


def read_portable(path: Path, options: AdoptOptions) -> PortableNetwork:
    """Read a network from its file. Raises AdoptionError."""
    if not path.is_file():
        raise AdoptionError(f"{path} is not {'a file' if path.exists() else 'there'}")
    suffix = path.suffix.lower()
    return read_torch(path, options) if suffix in PYTORCH else READERS[suffix](path, options)
