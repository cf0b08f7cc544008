"""Whether there is a GPU to compute on, and why not in words that an operator can act on."""

import ctypes
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

DRIVER_LIBRARY = "libcuda.so.1"
_ONNX_RUNTIMES_WITH_GPU = ("onnxruntime-gpu", "onnxruntime-rocm", "onnxruntime-directml")
NO_GPU_SHOWN = "neither machine nor container runtime shows a GPU"


def tensorflow_may_have_gpu(root: Path = Path("/")) -> bool:
    """Whether it is worth importing TensorFlow to see: it takes seconds. `tensorflow-cpu` is the
    build without CUDA.
    """
    return _shows_gpu(root) and _is_installed("tensorflow") and _loads(DRIVER_LIBRARY)


def why_openvino_on_cpu(root: Path = Path("/")) -> str:
    """Why a model that OpenVINO runs is on the CPU."""
    if not _shows_gpu(root):
        return NO_GPU_SHOWN
    if tensorflow_may_have_gpu(root):
        return "there is a GPU, and OpenVINO computes on the CPU"
    return why_no_gpu(built_with_cuda=_is_installed("tensorflow"), root=root)


def onnx_runtime_may_have_gpu(root: Path = Path("/")) -> bool:
    """Whether it is worth loading ONNX Runtime to see: `onnxruntime` alone computes on the CPU."""
    return _shows_gpu(root) and any(map(_is_installed, _ONNX_RUNTIMES_WITH_GPU))


def why_onnx_runtime_on(provider: str | None, root: Path = Path("/")) -> str:
    """Why ONNX Runtime is where it is: `provider` is the one that reaches a GPU."""
    if provider is not None:
        return f"ONNX Runtime's {provider} reaches a GPU"
    if not _shows_gpu(root):
        return NO_GPU_SHOWN
    return "this ONNX Runtime reaches no GPU; onnxruntime-gpu has the providers that do"


def why_no_gpu(*, built_with_cuda: bool, root: Path = Path("/")) -> str:
    """The first of the things a GPU needs that is missing. `root` is where /dev is found."""
    if not built_with_cuda:
        return "this TensorFlow is built without CUDA; the gpu extra brings one that has it"
    if not _shows_gpu(root):
        return NO_GPU_SHOWN
    if not _loads(DRIVER_LIBRARY):
        return (
            f"the NVIDIA driver's {DRIVER_LIBRARY} is missing; in a container the NVIDIA Container "
            "Toolkit brings it"
        )
    return (
        "a CUDA library does not load or does not fit the driver; TF_CPP_MIN_LOG_LEVEL=0 makes "
        "TensorFlow say which"
    )


def _shows_gpu(root: Path) -> bool:
    return any((root / "dev").glob("nvidia[0-9]*")) or (root / "dev/dxg").exists()


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
