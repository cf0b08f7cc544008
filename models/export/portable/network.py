"""An external network in a file of its own: OpenVINO's reading of it, and its maker's runtime."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contract.openvino_core import openvino_core as kept_core
from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.external_io import ProbeError

Run = Callable[[NDArray[np.generic]], NDArray[np.generic]]


@dataclass(frozen=True)
class PortableNetwork:
    """An `ExternalModel`. `graph` is OpenVINO's reading of the file (openvino.Model; None where
    ONNX Runtime is to serve it), `output` the
    number of its output that is meant; `run` is `runtime`'s, which says what is right. `onnx` is
    the file to keep, and `doubt` says why other sizes than one may be answered otherwise than by
    the network that the file was made of."""

    graph: Any
    output: int
    input_name: str
    output_name: str
    input_shape: tuple[int | None, ...]
    input_dtype: str
    description: str
    parameters: int
    runtime: str
    run: Run
    rescales_itself: bool = False
    onnx: bytes | None = None
    doubt: str = ""

    def probe(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Its output for values of its own form. Raises ProbeError."""
        try:
            return self.run(values)
        except Exception as error:  # each runtime has errors of its own
            raise ProbeError(short_cause(error)) from error


def openvino_core() -> Any:
    """OpenVINO's Core. Raises AdoptionError where it is not installed."""
    try:
        return kept_core()
    except ImportError:
        raise AdoptionError(
            "openvino is not installed, which serves such models; the cpu extra brings it"
        ) from None


def compiled_run(graph: Any, output: int) -> Run:
    """Run an openvino.Model on the CPU in fp32."""
    compiled = openvino_core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()

    def run(values: NDArray[np.generic]) -> NDArray[np.generic]:
        request.infer([values])
        return np.array(request.get_output_tensor(output).data)

    return run


def require_pixel_values(dtype: str, options: AdoptOptions) -> None:
    """Raise AdoptionError unless the input's values can be made of pixels without a doubt."""
    if dtype not in ("float16", "float32", "uint8"):
        raise AdoptionError(
            f"the model's input is {dtype}; segtrain adopts float32, float16 and uint8: save a "
            "quantized model with float32 inputs and outputs"
        )
    changes = options.scaling not in (None, "none") or options.mean or options.std
    if dtype == "uint8" and changes:
        raise AdoptionError(
            "the model's input is uint8, which takes pixel values as they are; leave --scaling, "
            "--mean and --std out"
        )


def chosen_output(names: list[str], options: AdoptOptions) -> int:
    """The number of the output that is meant. Raises AdoptionError."""
    if options.output_name is not None and options.output_name not in names:
        raise AdoptionError(
            f"the model has no output {options.output_name!r}; it has {', '.join(names)}"
        )
    if options.output_name is None and len(names) > 1:
        raise AdoptionError(
            f"the model has {len(names)} outputs ({', '.join(names)}); say --output-name"
        )
    return names.index(options.output_name) if options.output_name else 0


def require_one_image(path: Path, names: list[str], shape: tuple[int | None, ...]) -> None:
    """Raise AdoptionError unless there is one input of rank four."""
    if len(names) != 1:
        raise AdoptionError(
            f"{path} takes {len(names)} inputs ({', '.join(names)}); segtrain adopts models of one "
            "image input"
        )
    if len(shape) != 4:
        raise AdoptionError(
            f"the model's input has the shape {shape}; segtrain adopts models of images (N, H, W, "
            "C) or (N, C, H, W)"
        )


def short_cause(error: BaseException) -> str:
    """What an error says, in one line of at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (telling or lines or [type(error).__name__])[0][:200]
