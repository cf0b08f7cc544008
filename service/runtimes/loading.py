"""Choose an engine for an artefact and a machine. An engine's own library is imported only when it is to run.

`auto` takes the fastest that the artefact holds for the device: TensorFlow where it has a GPU to compute on, else
OpenVINO's int8 files, else its fp32 files, else TensorFlow on the CPU. bf16 is never taken unasked: int8 files come with
the accuracy that was checked when they were made, and nothing of the kind stands behind bf16.
"""

import logging
import os
from importlib.util import find_spec
from pathlib import Path

from models.contract import Contract
from models.contract.amx import avoid_amx
from service.runtimes.engine import Engine, EngineOptions, EngineUnavailableError
from service.runtimes.gpu import tensorflow_may_have_gpu

logger = logging.getLogger(__name__)


def load_engine(artefact: Path, contract: Contract, options: EngineOptions) -> Engine:
    """Load `artefact` with the engine and precision of `options`. Blocks while the model loads.

    Raises EngineUnavailableError where they cannot run it here.
    """
    if options.name == "tensorflow":
        return _tensorflow(artefact, contract, options, "SEGSERVE_ENGINE says tensorflow")
    if options.name == "openvino":
        return _openvino(artefact, contract, options, "SEGSERVE_ENGINE says openvino")
    if options.precision in ("bf16", "int8"):
        return _openvino(
            artefact, contract, options, f"SEGSERVE_PRECISION says {options.precision}"
        )
    return _fastest(artefact, contract, options)


def _fastest(artefact: Path, contract: Contract, options: EngineOptions) -> Engine:
    obstacle = _why_not_openvino(contract, options)
    if tensorflow_may_have_gpu():
        engine = _tensorflow(artefact, contract, options, "it has a GPU to compute on")
        if engine.device != "CPU" or obstacle is not None:
            return engine
        logger.warning("a GPU is shown and TensorFlow does not use it: %s", engine.device_reason)
        engine.close()
    if obstacle is not None:
        return _tensorflow(artefact, contract, options, obstacle)
    return _openvino(artefact, contract, options, "on a CPU OpenVINO is the fastest")


def _why_not_openvino(contract: Contract, options: EngineOptions) -> str | None:
    held = contract.openvino_precisions
    if not held:
        return "the artefact holds no OpenVINO files"
    if options.precision != "auto" and options.precision not in held:
        return f"the artefact holds OpenVINO files of {' and '.join(held)} alone"
    if find_spec("openvino") is None:
        return "openvino is not installed; the cpu extra brings it"
    return None


def _tensorflow(artefact: Path, contract: Contract, options: EngineOptions, reason: str) -> Engine:
    if options.precision not in ("auto", "fp32"):
        raise EngineUnavailableError(
            f"TensorFlow computes in fp32 alone and SEGSERVE_PRECISION is {options.precision}; "
            "set SEGSERVE_ENGINE to openvino or auto"
        )
    if find_spec("tensorflow") is None:
        raise EngineUnavailableError("tensorflow is not installed; the cpu and gpu extras bring it")
    # Read when the library is imported. Its notes about instruction sets are no lines of our log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from service.runtimes.tensorflow import TensorFlowEngine

    return TensorFlowEngine(artefact, contract, options, reason=reason)


def _openvino(artefact: Path, contract: Contract, options: EngineOptions, reason: str) -> Engine:
    if find_spec("openvino") is None:
        raise EngineUnavailableError("openvino is not installed; the cpu extra brings it")
    avoid_amx()
    from service.runtimes.openvino import OpenVinoEngine

    return OpenVinoEngine(artefact, contract, options, reason=reason)
