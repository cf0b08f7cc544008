"""Run an artefact's OpenVINO files on the CPU.

Measured on 2 cores with a U-Net on MobileNetV2 (int8, pictures of 480 × 384):

- The dynamic model takes a new shape within the time of about two more pictures; one that comes
  often gets a model of its own (`openvino_compiled.py`). Its only growth is the cache of kernels,
  without end at OpenVINO's own limit of 5,000; with the limit below memory stays flat over any
  shapes. Five shapes in turn then take 21.9 ms of CPU a picture; 23.5 with room for 64 kernels,
  21.6 with room for 512, which is no more than where one shape follows the other.
- Two pictures beside each other, each on one core, take 17 ms of CPU a picture, one after the other
  on both cores 24 ms: threads wait for each other after each layer. A picture that is alone would
  wait longer, so it gets all threads. Other machines differ: it is measured at load.
"""

import logging
import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from models.contract import (
    OPENVINO_OUTPUTS,
    Contract,
    ContractError,
    StoredPrecision,
    openvino_path,
)
from models.contract.openvino_core import openvino_core
from service.domain.source import Window
from service.domain.upsampling import Grid, strongest, upsampled_class_maps
from service.runtimes.engine import EngineOptions, EngineUnavailableError, Precision, logits_of
from service.runtimes.gpu import why_openvino_on_cpu
from service.runtimes.openvino_compiled import Compiled
from service.runtimes.openvino_graph import cut_at_logits
from service.runtimes.openvino_stages import OpenVinoStages, cut_in_stages
from service.runtimes.streams import (
    TYPICAL_SIZE,
    Company,
    Run,
    described,
    least_cpu_seconds,
    max_streams,
    streams_pay_off,
)

logger = logging.getLogger(__name__)

_CACHED_KERNELS = 192
_SMALL_SIZE = 64, 64  # pixels, of the smaller pictures that are timed at load
_BATCH_OVERHEAD_SHARE = 0.1  # a batch is large enough when what each call costs is this part of it
_MOST_KEPT_PIXELS = 1024 * 1024  # 180 MB in int8, or half of that cut at the logits
_MOST_IMAGES, _MOST_PIXELS = 16, 1024 * 1024

CLASS_MAP, PROBABILITIES = map(OPENVINO_OUTPUTS.index, ("class_map", "probabilities"))

_DEVICE = "CPU"
_HINTS = {
    "fp32": "f32",
    "bf16": "bf16",
    "int8": "f32",
}  # int8: of the layers kept in floating point


class OpenVinoEngine:
    """Both outputs of one file, each as a model of its own that computes no more than it needs.

    Where the graph allows it, class maps come from a model that ends at its logits, and the rest is
    done in numpy: equal on every pixel, and of logits at half the size each way (`factor` 2) in 0.8
    of the time and half of the memory. Class maps have two such models where streams pay: a batch
    that nothing ran beside lately has all threads, another one those of a stream. That of
    probabilities is compiled when they are first asked for: most callers never do, and it takes a
    third of the load's time and memory.
    """

    name = "openvino"
    device = _DEVICE
    streams = 1
    probabilities_on_demand = True

    def __init__(
        self, artefact: Path, contract: Contract, options: EngineOptions, *, reason: str
    ) -> None:
        core = openvino_core()
        capabilities = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        precision, why = _choose(options.precision, contract, capabilities)
        self.precision: str = precision
        self.reason = f"{reason}; {why}"
        self.device_reason = why_openvino_on_cpu()
        model = core.read_model(artefact / openvino_path(_stored(precision)))
        self._classes, self._stride = len(contract.classes), contract.stride
        self._choosing, self._compiling = threading.Lock(), threading.Lock()
        self._company = Company()
        io = contract.io
        self._least = max(contract.stride, 1 if io is None else io.least_side)
        cut = cut_at_logits(model, CLASS_MAP, self._least)
        self._factor = cut.factor if cut is not None else None
        self.light_class_maps = cut is not None and cut.factor > 1
        self.logits_factor = cut.factor if cut is not None and cut.factor > 1 else 0
        class_map = cut.model if cut is not None else _one_output(model, CLASS_MAP)
        probabilities = _one_output(model, PROBABILITIES)
        _check_classes(probabilities, self._classes)

        def compile_for(one: openvino.Model, streams: int = 1) -> Compiled:
            settings = _settings(precision, options.threads, streams)
            by_one = io is not None and io.batch_size == 1
            return Compiled(core, one, settings, streams=streams, one_by_one=by_one)

        self._compile_for = compile_for
        self._cut = cut
        self._stages: list[OpenVinoStages | None] = []  # once it is known
        self._of_stages: dict[str, Compiled] = {}
        self._compile_probabilities = partial(compile_for, probabilities)
        self._probabilities: Compiled | None = None
        streams = options.streams or max_streams(options.threads)
        with ThreadPoolExecutor() as pool:  # each compiles on one core
            others = [pool.submit(compile_for, class_map, streams)] if streams > 1 else []
            self._class_map = compile_for(class_map)
        self._compiled = [self._class_map]
        run = partial(self._run_class_map, self._class_map)
        only_size = contract.only_size
        self._streamed = self._class_map
        for streamed in (other.result() for other in others):
            run_streamed = partial(self._run_class_map, streamed)
            if options.streams or streams_pay_off(
                run_streamed, run, streams, contract.channels, only_size or TYPICAL_SIZE
            ):
                self._streamed, self.streams = streamed, streams
                self._compiled.append(streamed)
                run = run_streamed
        best = _measure_batch(run, contract.channels, only_size)
        self.best_batch, self.best_batch_pixels = best
        for compiled in self._compiled:
            compiled.may_specialize = True
        _log_once(options.threads, self.streams, precision)

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        chosen = self._begin_class_map(images)
        with self._counted(chosen):
            return self._run_class_map(chosen, images)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        result = np.empty((*images.shape[:3], self._classes), np.float32)
        compiled = self._compiled_probabilities()
        with self._choosing:
            chosen = self._begin(compiled, math.prod(images.shape[:3]))
        with self._counted(chosen):
            chosen.run(result, images)
        return result

    def logits(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
        if self._factor is None:
            return logits_of(self.probabilities(images)), 1
        chosen = self._begin_class_map(images)
        with self._counted(chosen):
            padded = _padded(images, self._stride, self._least)
            logits = self._run_logits(chosen, padded, self._factor)
            height, width = (side // self._factor for side in images.shape[1:3])
            return logits[:, :, :height, :width], self._factor

    @property
    def stages(self) -> OpenVinoStages | None:
        with self._compiling:
            if not self._stages:
                found = None if self._cut is None else cut_in_stages(self._cut, self._stride)
                self._stages.append(
                    None if found is None else OpenVinoStages(found, self._classes, self._run_stage)
                )
            return self._stages[0]

    def _run_stage(
        self,
        model: openvino.Model,
        inputs: Sequence[NDArray[Any]],
        result: NDArray[Any],
        pixels: int,
    ) -> None:
        compiled = self._compiled_stage(model)
        with self._choosing:
            chosen = self._begin(compiled, pixels)
        with self._counted(chosen):
            chosen.run(result, *inputs)

    def _compiled_stage(self, model: openvino.Model) -> Compiled:
        name = model.get_friendly_name()
        with self._compiling:
            if name not in self._of_stages:
                self._of_stages[name] = self._compile_for(model)
                with self._choosing:
                    self._compiled.append(self._of_stages[name])
            return self._of_stages[name]

    def _run_class_map(self, compiled: Compiled, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._factor is None:
            result = np.empty(images.shape[:3], np.uint8)
            compiled.run(result, images)
            return result
        height, width = images.shape[1:3]
        padded = _padded(images, self._stride, self._least)
        logits = self._run_logits(compiled, padded, self._factor)
        if self._factor == 1:
            return strongest(logits[:, :, :height, :width].swapaxes(0, 1))
        grid = Grid((self._factor, self._factor))
        return upsampled_class_maps(logits, grid, Window(0, 0, height, width))

    def _run_logits(
        self, compiled: Compiled, images: NDArray[np.uint8], factor: int
    ) -> NDArray[np.float32]:
        count, height, width = images.shape[:3]
        logits = np.empty((count, self._classes, height // factor, width // factor), np.float32)
        compiled.run(logits, images)
        return logits

    def _compiled_probabilities(self) -> Compiled:
        with self._compiling:
            if self._probabilities is None:
                self._probabilities = self._compile_probabilities()
                self._probabilities.may_specialize = True
                with self._choosing:
                    self._compiled.append(self._probabilities)
            return self._probabilities

    def close(self) -> None:
        for compiled in self._compiled:
            compiled.close()
        del self._class_map, self._probabilities, self._streamed, self._compiled
        del self._compile_probabilities, self._compile_for
        del self._cut, self._stages, self._of_stages

    def _begin_class_map(self, images: NDArray[np.uint8]) -> Compiled:
        with self._choosing:
            others_run = any(compiled.running for compiled in self._compiled)
            beside = self._company.is_near(others_run=others_run)
            chosen = self._streamed if beside else self._class_map
            return self._begin(chosen, math.prod(images.shape[:3]))

    def _begin(self, chosen: Compiled, pixels: int) -> Compiled:
        """Each model keeps room for the largest batch it ran; those that do not run give back what
        is large.
        """
        for other in self._compiled:
            idle = other is not chosen and not other.running
            if idle and other.most_pixels > _MOST_KEPT_PIXELS:
                other.release_memory()
        chosen.running += 1
        chosen.most_pixels = max(chosen.most_pixels, pixels)
        return chosen

    @contextmanager
    def _counted(self, compiled: Compiled) -> Iterator[None]:
        try:
            yield
        finally:
            with self._choosing:
                compiled.running -= 1


def _measure_batch(run: Run, channels: int, only_size: tuple[int, int] | None) -> tuple[int, int]:
    """The most images and pixels worth one batch, from what a call costs and what a pixel costs; an
    image at a time where the model takes `only_size`."""
    if only_size is not None:
        return _MOST_IMAGES, math.prod(only_size)
    pixels, small_pixels = math.prod(TYPICAL_SIZE), math.prod(_SMALL_SIZE)
    small = least_cpu_seconds(run, 1, _SMALL_SIZE, channels)
    typical = least_cpu_seconds(run, 1, TYPICAL_SIZE, channels)
    pixel_seconds = max((typical - small) / (pixels - small_pixels), 1e-12)
    call_seconds = max(small - pixel_seconds * small_pixels, 0.0)
    worth = call_seconds / (_BATCH_OVERHEAD_SHARE * pixel_seconds)
    return _MOST_IMAGES, int(min(max(worth, small_pixels), _MOST_PIXELS))


def _check_classes(probabilities: openvino.Model, classes: int) -> None:
    """Raises ContractError, as a warm-up would that runs them."""
    last = probabilities.output(0).get_partial_shape()[-1]
    if last.is_static and last.get_length() != classes:
        raise ContractError(
            f"Its OpenVINO files give probabilities of {last.get_length()} classes; its contract "
            f"has {classes}."
        )


def _one_output(model: openvino.Model, output: int) -> openvino.Model:
    return openvino.Model([model.output(output)], model.get_parameters(), OPENVINO_OUTPUTS[output])


def _padded(images: NDArray[np.uint8], stride: int, least: int) -> NDArray[np.uint8]:
    """Images (N, H, W, C) mirror-padded to multiples of `stride` that are `least` or more, as
    MirrorPad does; as they are where they need nothing.
    """
    height, width = images.shape[1:3]
    below, right = (max(-(-side // stride) * stride, least) - side for side in (height, width))
    if not below and not right:
        return images
    return np.pad(images, ((0, 0), (0, below), (0, right), (0, 0)), mode="reflect")


def _choose(
    wanted: Precision, contract: Contract, capabilities: list[str]
) -> tuple[Precision, str]:
    """The precision to compute in, and why. Raises EngineUnavailableError."""
    held = contract.openvino_precisions
    if wanted == "auto":
        if "int8" in held and ("INT8" in capabilities or "fp32" not in held):
            return "int8", "int8 is the fastest that the artefact holds"
        if "fp32" in held:
            if "int8" not in held:
                return "fp32", "the artefact holds no int8 files"
            return "fp32", "this CPU has no instructions that make int8 faster"
    elif wanted == "bf16" and "BF16" not in capabilities:
        raise EngineUnavailableError(
            "this CPU does not compute in bf16; set SEGSERVE_PRECISION to auto, fp32 or int8"
        )
    elif _stored(wanted) in held:
        return wanted, f"SEGSERVE_PRECISION says {wanted}"
    missing = "int8" if wanted == "int8" else "fp32"
    command = "segtrain quantize" if missing == "int8" else "segtrain export"
    raise EngineUnavailableError(
        f"the artefact holds no OpenVINO files of {missing}; `{command}` makes them, or set "
        "SEGSERVE_ENGINE to auto"
    )


def _stored(precision: Precision) -> StoredPrecision:
    """Which file a precision is computed from."""
    return "int8" if precision == "int8" else "fp32"


def _settings(precision: Precision, threads: int, streams: int) -> dict[str, Any]:
    """`streams` batches beside each other, each on `threads` / `streams` threads."""
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "CPU_RUNTIME_CACHE_CAPACITY": _CACHED_KERNELS,
        # Pinned threads of two processes share the same cores while others idle, and wait for what
        # else runs there.
        "ENABLE_CPU_PINNING": False,
    }


@cache  # one line a process and way to run, not one a model
def _log_once(threads: int, streams: int, precision: str) -> None:
    logger.info("OpenVINO computes on CPU with %s, in %s", described(threads, streams), precision)
