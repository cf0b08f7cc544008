"""Run a SavedModel with TensorFlow."""

import gc
import logging
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from models.contract import Contract
from models.contract.globbing import without_pattern
from service.domain.source import Window
from service.domain.upsampling import Grid, upsampled_class_maps
from service.runtimes.engine import EngineOptions, logits_of
from service.runtimes.gpu import why_no_gpu
from service.runtimes.streams import described, max_streams
from service.runtimes.tensorflow_graph import OnCallingThread, as_function, cut_at_logits

logger = logging.getLogger(__name__)

# Images and pixels of a batch. Measured on 2 cores with a U-Net on MobileNetV2: 8 images of 64² in
# one batch took a third of their time alone, of 256² two thirds, of 480 × 384 nine tenths; there a
# batch only makes the first image wait for the last. A GPU has more lanes to fill.
_BEST_BATCH_CPU = 16, 512 * 512
_BEST_BATCH_GPU = 16, 2048 * 2048


class TensorFlowEngine:
    """Both signatures as frozen graphs: their weights are constants, which TensorFlow can optimise.

    On a CPU the streams share the threads, and a stream of one is the thread that calls.
    TensorFlow's small kernels do not fill two: on two cores an image of 480 × 384 takes 22 ms where
    each stream has a thread of its own, 26 ms where both share two, and 28 ms where one follows the
    other. One that is alone takes 41 ms on one thread.
    The threads hold for the whole process, so the first engine decides them, and nothing can be
    measured first. XLA takes several times as long for an image (benchmarks/xla.py).

    On a CPU, where the graph allows it, class maps come from its low-resolution logits. A GPU has
    the rest done in no time, and its class map is a tenth of the bytes to bring back.
    """

    name = "tensorflow"
    precision = "fp32"
    light_class_maps = probabilities_on_demand = False
    stages = None

    def __init__(
        self, artefact: Path, contract: Contract, options: EngineOptions, *, reason: str
    ) -> None:
        self.reason = reason
        self.streams = 1
        if not tf.config.list_physical_devices("GPU"):
            self.streams = options.streams or max_streams(options.threads)
        _configure_runtime(options.threads, self.streams)
        with without_pattern(artefact) as path:
            loaded = tf.saved_model.load(str(path))
        class_map = _freeze(loaded.signatures["serving_default"])
        probabilities = _freeze(loaded.signatures["probabilities"])
        del loaded
        self.device = _device_that_runs(class_map, contract)
        cut = cut_at_logits(class_map) if self.device == "CPU" else None
        self.logits_factor = 0 if cut is None else cut.factor
        run = OnCallingThread if self.device == "CPU" else as_function
        # To logits where it is cut, else to class maps.
        self._run = run(class_map if cut is None else cut.function)
        self._probabilities = run(probabilities)
        self.device_reason = _reason_for(self.device)
        _log_once(self.device, self.device_reason, options.threads, self.streams)
        best = _BEST_BATCH_CPU if self.device == "CPU" else _BEST_BATCH_GPU
        self.best_batch, self.best_batch_pixels = best
        _freeze_gc()

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self.logits_factor:
            return self._run(images)
        grid = Grid((self.logits_factor, self.logits_factor))
        window = Window(0, 0, *images.shape[1:3])
        return upsampled_class_maps(self._run(images), grid, window)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._probabilities(images)

    def logits(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
        if not self.logits_factor:
            return logits_of(self.probabilities(images)), 1
        return self._run(images), self.logits_factor

    def close(self) -> None:
        del self._run, self._probabilities
        gc.unfreeze()  # its graph holds itself, so that only a collection lets go of it
        _freeze_gc()


def _device_that_runs(class_map: Any, contract: Contract) -> str:
    side = contract.stride
    result = class_map(tf.zeros((1, side, side, contract.channels), tf.uint8))[0]
    spec = tf.DeviceSpec.from_string(result.device)
    return "CPU" if spec.device_type == "CPU" else f"{spec.device_type}:{spec.device_index}"


def _freeze(signature: Any) -> Any:
    """A function from images to a list of one tensor, which no longer needs the loaded model."""
    return convert_variables_to_constants_v2(signature, lower_control_flow=False)


def _freeze_gc() -> None:
    """Collect garbage, and keep what is left out of later collections.

    TensorFlow's modules and a model's graph are 400,000 objects, and a full collection, which comes
    every few thousand requests, would stop the process for 0.2 s to look at each.
    """
    gc.collect()
    gc.freeze()


def _configure_runtime(threads: int, streams: int) -> None:
    """Set threads, and let GPU memory grow as needed. Both must be said before TensorFlow runs."""
    a_stream = max(1, threads // streams)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(a_stream)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        running = tf.config.threading.get_intra_op_parallelism_threads()
        if running != a_stream:
            logger.warning(
                "TensorFlow runs with %d threads already; %d cannot be set now", running, a_stream
            )


def _reason_for(device: str) -> str:
    """Why the engine runs where it does."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return why_no_gpu(built_with_cuda=tf.test.is_built_with_cuda())
    if device == "CPU":
        return "TensorFlow sees a GPU and places this model on the CPU"
    details = tf.config.experimental.get_device_details(gpus[int(device.removeprefix("GPU:"))])
    return f"the machine or container runtime shows {details.get('device_name', 'a GPU')}"


@cache  # one line a process and device, not one a model
def _log_once(device: str, reason: str, threads: int, streams: int) -> None:
    missing = device == "CPU" and tf.test.is_built_with_cuda()
    level = logging.WARNING if missing else logging.INFO
    logger.log(
        level, "TensorFlow computes on %s with %s: %s", device, described(threads, streams), reason
    )
