"""What runs the models. A new one is a file with its engine, and a row here, in order of
preference.

An engine's own library is imported only when it is to run.
"""

import os
from pathlib import Path

from models.contract import Contract
from models.contract.usage_reports import report_nothing
from service.runtimes import gpu
from service.runtimes.engine import Engine, EngineOptions, EngineUnavailableError
from service.runtimes.runtime import Runtime

__all__ = ["RUNTIMES", "Runtime"]


def _load_openvino(
    artefact: Path, contract: Contract, options: EngineOptions, reason: str
) -> Engine:
    report_nothing()
    from service.runtimes.openvino import OpenVinoEngine

    return OpenVinoEngine(artefact, contract, options, reason=reason)


def _openvino_lacks(contract: Contract, options: EngineOptions) -> str | None:
    held = contract.openvino_precisions
    if not held:
        return "the artefact holds no OpenVINO files"
    if options.precision != "auto" and options.precision not in held:
        return f"the artefact holds OpenVINO files of {' and '.join(held)} alone"
    return None


def _load_tensorflow(
    artefact: Path, contract: Contract, options: EngineOptions, reason: str
) -> Engine:
    lacking = _tensorflow_lacks(contract, options)
    if lacking is not None:
        raise EngineUnavailableError(f"{lacking}; set SEGSERVE_ENGINE to auto")
    # Read when the library is imported. Its notes about instruction sets are no lines of our log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from service.runtimes.tensorflow import TensorFlowEngine

    return TensorFlowEngine(artefact, contract, options, reason=reason)


def _tensorflow_lacks(contract: Contract, _options: EngineOptions) -> str | None:
    if "tensorflow" in contract.runtimes:
        return None
    return "the artefact holds no SavedModel, which TensorFlow runs"


def _load_onnx_runtime(
    artefact: Path, contract: Contract, options: EngineOptions, reason: str
) -> Engine:
    lacking = _onnx_lacks(contract, options)
    if lacking is not None:
        raise EngineUnavailableError(f"{lacking}; set SEGSERVE_ENGINE to auto")
    from service.runtimes.onnx_runtime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(artefact, contract, options, reason=reason)


def _onnx_lacks(contract: Contract, _options: EngineOptions) -> str | None:
    if "onnx" in contract.runtimes:
        return None
    return "the artefact holds no ONNX file, which ONNX Runtime runs"


OPENVINO = Runtime(
    name="openvino",
    library="openvino",
    extras="cpu extra brings it",
    precisions=("fp32", "bf16", "int8"),
    refusal="OpenVINO does not compute in {precision}",
    lacks=_openvino_lacks,
    has_gpu=lambda: False,
    advantage="on a CPU OpenVINO is the fastest",
    load=_load_openvino,
)
TENSORFLOW = Runtime(
    name="tensorflow",
    library="tensorflow",
    extras="cpu and gpu extras bring it",
    precisions=("fp32",),
    refusal=(
        "TensorFlow computes in fp32 alone and SEGSERVE_PRECISION is {precision}; "
        "set SEGSERVE_ENGINE to openvino or auto"
    ),
    lacks=_tensorflow_lacks,
    has_gpu=gpu.tensorflow_may_have_gpu,
    advantage="it runs every SavedModel",
    load=_load_tensorflow,
)
ONNX = Runtime(
    name="onnx",
    library="onnxruntime",
    extras="onnx extra brings it",
    precisions=("fp32",),
    refusal=(
        "ONNX Runtime computes in fp32 alone and SEGSERVE_PRECISION is {precision}; "
        "set SEGSERVE_ENGINE to auto"
    ),
    lacks=_onnx_lacks,
    has_gpu=gpu.onnx_runtime_may_have_gpu,
    advantage="it has every operator of ONNX",
    load=_load_onnx_runtime,
)
RUNTIMES: dict[str, Runtime] = {row.name: row for row in (OPENVINO, TENSORFLOW, ONNX)}
