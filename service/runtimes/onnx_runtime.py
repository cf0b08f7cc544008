"""Run an artefact's ONNX file with ONNX Runtime: for operators that OpenVINO lacks, and on the GPUs
that its providers reach."""

import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.contract import OPENVINO_OUTPUTS, Contract, ContractError, onnx_path
from service.domain.overlap import top_classes, with_background
from service.domain.source import Window
from service.domain.upsampling import Grid, upsampled_class_maps, upsampled_logits
from service.runtimes.engine import EngineOptions, EngineUnavailableError, logits_of
from service.runtimes.gpu import why_onnx_runtime_on
from service.runtimes.model_io import (
    class_ids_of_output,
    logits_of_planes,
    model_values,
    planes_of_output,
)
from service.runtimes.streams import described

logger = logging.getLogger(__name__)

# Of its providers, those that compute on a GPU, the one that is preferred first.
_CUDA = "CUDAExecutionProvider"
_ON_GPU = (
    _CUDA,
    "MIGraphXExecutionProvider",
    "ROCMExecutionProvider",
    "DmlExecutionProvider",
)
_BEST_BATCH = 16, 512 * 512  # as TensorFlow's on a CPU


def providers_of(known: Collection[str]) -> list[tuple[str, dict[str, str]]]:
    """The providers to take of those `known`, with their options: what computes on a GPU, then the
    CPU.

    By itself CUDA's tries each of cuDNN's algorithms out, for each new shape of picture.
    """
    options = {_CUDA: {"cudnn_conv_algo_search": "HEURISTIC"}}
    names = [*(name for name in _ON_GPU if name in known), "CPUExecutionProvider"]
    return [(name, options.get(name, {})) for name in names]


class OnnxRuntimeEngine:
    """One session. A file of ours takes pixels and gives class maps and probabilities; around
    another maker's, `model_io` does what the contract's `io` says.
    """

    name = "onnx"
    precision = "fp32"
    light_class_maps = probabilities_on_demand = False
    stages = None

    def __init__(
        self, artefact: Path, contract: Contract, options: EngineOptions, *, reason: str
    ) -> None:
        self.reason = reason
        self.streams = options.streams or 1
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = max(1, options.threads // self.streams)
        settings.log_severity_level = 3
        providers = providers_of(onnxruntime.get_available_providers())
        if any(name == _CUDA for name, _ in providers):
            onnxruntime.preload_dlls()  # CUDA's libraries where pip has put them
        try:
            self._session = onnxruntime.InferenceSession(
                artefact / onnx_path("fp32"), settings, providers
            )
        except Exception as error:  # its exceptions have no base of their own
            raise EngineUnavailableError(
                f"ONNX Runtime cannot load {onnx_path('fp32')}: {str(error).splitlines()[0][:200]}"
            ) from error
        used = self._session.get_providers()[0]
        self.device = "GPU:0" if used in _ON_GPU else "CPU"
        self.device_reason = why_onnx_runtime_on(used if used in _ON_GPU else None)
        self._io, self._classes = contract.io, len(contract.classes)
        self._overlap = contract.overlap
        self._require_outputs(contract)
        self.logits_factor = self._find_logits_factor(contract)
        self.best_batch, self.best_batch_pixels = _BEST_BATCH
        logger.info(
            "ONNX Runtime computes on %s with %s: %s",
            self.device,
            described(options.threads, self.streams),
            self.device_reason,
        )

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._io is None:
            return np.asarray(self._run(images, OPENVINO_OUTPUTS[0]), np.uint8)
        if self._overlap is not None:
            return top_classes(self.probabilities(images), self._overlap)[0]
        if self._io.output == "class_map":
            return self._class_ids(images)
        logits, factor = self.logits(images)
        window = Window(0, 0, *images.shape[1:3])
        return upsampled_class_maps(logits, Grid((factor, factor)), window)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._io is None:
            return np.asarray(self._run(images, OPENVINO_OUTPUTS[1]), np.float32)
        if self._io.output == "class_map":
            return np.eye(self._classes, dtype=np.float32)[self._class_ids(images)]
        if self._overlap is not None:
            return self._overlapping(images)
        low, factor = self.logits(images)
        window, grid = Window(0, 0, *images.shape[1:3]), Grid((factor, factor))
        logits = np.stack([upsampled_logits(one, grid, window) for one in low])
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        return np.ascontiguousarray(np.moveaxis(shares, 1, -1))

    def logits(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
        if self._io is None or self._overlap is not None or self._io.output == "class_map":
            return logits_of(self.probabilities(images)), 1
        values = model_values(images, self._io)
        planes = planes_of_output(self._raw(values), self._io)
        factor = values.shape[1 if self._io.layout == "NHWC" else 2] // planes.shape[2]
        if self._io.output != "logits" and factor > 1:  # shares are interpolated, not their logs
            window = Window(0, 0, planes.shape[2] * factor, planes.shape[3] * factor)
            grid = Grid((factor, factor))
            planes, factor = np.stack([upsampled_logits(one, grid, window) for one in planes]), 1
        return logits_of_planes(planes, self._io, self._classes), factor

    def close(self) -> None:
        del self._session

    def _overlapping(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of classes that each have a probability of their own, and of the background."""
        assert self._io is not None
        values = model_values(images, self._io)
        low = planes_of_output(self._raw(values), self._io)
        factor = values.shape[1 if self._io.layout == "NHWC" else 2] // low.shape[2]
        window, grid = Window(0, 0, *images.shape[1:3]), Grid((factor, factor))
        planes = np.stack([upsampled_logits(one, grid, window) for one in low])
        if self._io.output == "logits":
            planes = np.float32(1) / (np.float32(1) + np.exp(-planes))
        return with_background(np.moveaxis(planes, 1, -1))

    def _class_ids(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert self._io is not None
        values = model_values(images, self._io)
        ids = class_ids_of_output(self._raw(values), self._io)
        factor = values.shape[1 if self._io.layout == "NHWC" else 2] // ids.shape[1]
        height, width = images.shape[1:3]
        return ids.repeat(factor, axis=1).repeat(factor, axis=2)[:, :height, :width]

    def _raw(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """The output of another maker's graph; an image at a time where it takes no more."""
        assert self._io is not None
        if self._io.batch_size == 1 and len(values) > 1:
            return np.concatenate([self._raw(values[n : n + 1]) for n in range(len(values))])
        name = self._io.output_name or self._session.get_outputs()[0].name
        return self._run(values, name)

    def _run(self, values: NDArray[np.generic], output: str) -> NDArray[np.generic]:
        given = self._session.get_inputs()[0].name
        return np.asarray(self._session.run([output], {given: values})[0])

    def _find_logits_factor(self, contract: Contract) -> int:
        io = self._io
        if io is None or io.output == "class_map" or self._overlap is not None:
            return 0
        if io.least_side > contract.stride:  # it gives those of more than it was given
            return 0
        size = contract.only_size or (contract.stride, contract.stride)
        return self.logits(np.zeros((1, *size, contract.channels), np.uint8))[1]

    def _require_outputs(self, contract: Contract) -> None:
        there = {output.name for output in self._session.get_outputs()}
        wanted = set(OPENVINO_OUTPUTS) if contract.io is None else {contract.io.output_name}
        missing = {name for name in wanted if name is not None} - there
        if missing:
            raise ContractError(
                f"Its ONNX file has no output {', '.join(sorted(missing))}; it has "
                f"{', '.join(sorted(there))}."
            )
