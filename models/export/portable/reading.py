"""Which reader takes a file, by its name and its first bytes."""

from collections.abc import Callable, Mapping
from pathlib import Path

from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.portable.network import PortableNetwork
from models.export.portable.onnx_files import read_onnx
from models.export.portable.openvino_files import read_ir, read_litert

READERS: Mapping[str, Callable[[Path, AdoptOptions], PortableNetwork]] = {
    ".onnx": read_onnx,
    ".xml": read_ir,
    ".tflite": read_litert,
}

# Weights without their network, or code that would run as it is read: none of it is opened.
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
    if suffix in PYTORCH:
        raise AdoptionError(
            f"{path.name} is PyTorch's: it holds weights alone, or code that would run as it is "
            "read, and is not opened. Export the network where its code is, with "
            "torch.onnx.export(network, (image,), 'network.onnx', …), and adopt that: docs/adopt.md"
        )
    return READERS[suffix](path, options)
