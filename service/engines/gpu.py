"""Why there is no GPU to compute on, in words that an operator can act on."""

import ctypes
from pathlib import Path

DRIVER_LIBRARY = "libcuda.so.1"


def why_no_gpu(*, built_with_cuda: bool, root: Path = Path("/")) -> str:
    """The first of the things a GPU needs that is missing. `root` is where /dev is found."""
    if not built_with_cuda:
        return "this TensorFlow is built without CUDA; the gpu extra brings one that has it"
    if not any((root / "dev").glob("nvidia[0-9]*")) and not (root / "dev/dxg").exists():
        return "neither machine nor container runtime shows a GPU"
    if not _loads(DRIVER_LIBRARY):
        return (
            f"the NVIDIA driver's {DRIVER_LIBRARY} is missing; in a container the NVIDIA Container "
            "Toolkit brings it"
        )
    return (
        "a CUDA library does not load or does not fit the driver; TF_CPP_MIN_LOG_LEVEL=0 makes "
        "TensorFlow say which"
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
