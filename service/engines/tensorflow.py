"""Run a SavedModel with TensorFlow."""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from models.contract import Contract
from service.engines.engine import EngineOptions
from service.engines.gpu import why_no_gpu
from service.engines.streams import are_faster, streams_worth_measuring

logger = logging.getLogger(__name__)

# Images and pixels of a batch. Measured on 2 cores with a U-Net on MobileNetV2: 8 images of 64² in
# one batch took a third of their time alone, of 256² two thirds, of 480 × 384 nine tenths; there a
# batch only makes the first image wait for the last. Two of those beside each other, in runs of their
# own that share the threads, were a tenth faster than one after the other. A GPU has more lanes to fill.
_BEST_BATCH_CPU = 16, 512 * 512
_BEST_BATCH_GPU = 16, 2048 * 2048


class TensorFlowEngine:
    """Both signatures as frozen graphs: their weights are constants, which TensorFlow can optimise.

    The threads of `options` hold for the whole process, so the first engine decides them.
    """

    name = "tensorflow"
    precision = "fp32"

    def __init__(
        self, artefact: Path, contract: Contract, options: EngineOptions, *, reason: str
    ) -> None:
        self.reason = reason
        _configure_runtime(options.threads)
        loaded = tf.saved_model.load(str(artefact))
        self._class_map = _freeze(loaded.signatures["serving_default"])
        self._probabilities = _freeze(loaded.signatures["probabilities"])
        self.device = self._device_that_runs(contract)
        self.device_reason = _reason_for(self.device)
        _say_once(self.device, self.device_reason, options.threads)
        best = _BEST_BATCH_CPU if self.device == "CPU" else _BEST_BATCH_GPU
        self.best_batch, self.best_batch_pixels = best
        most = options.streams or streams_worth_measuring(options.threads)
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="tensorflow-stream")
        self.streams = self._choose_streams(options, most, contract.channels)
        self.best_batch = max(self.best_batch, self.streams)

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._beside(images, self.streams) if self.streams > 1 else self._run(images)

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        class_map: NDArray[np.uint8] = self._class_map(tf.constant(images))[0].numpy()
        return class_map

    def _beside(self, images: NDArray[np.uint8], streams: int) -> NDArray[np.uint8]:
        """Run a batch as up to `streams` smaller ones at once."""
        if len(images) == 1:
            return self._run(images)
        parts = np.array_split(images, min(streams, len(images)))
        return np.concatenate(list(self._pool.map(self._run, parts)))

    def _choose_streams(self, options: EngineOptions, most: int, channels: int) -> int:
        if self.device != "CPU":
            return 1
        if options.streams or most == 1:
            return most
        faster = are_faster(lambda images: self._beside(images, most), self._run, most, channels)
        return most if faster else 1

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = self._probabilities(tf.constant(images))[0].numpy()
        return probabilities

    def close(self) -> None:
        self._pool.shutdown()
        del self._class_map, self._probabilities

    def _device_that_runs(self, contract: Contract) -> str:
        side = contract.stride
        result = self._class_map(tf.zeros((1, side, side, contract.channels), tf.uint8))[0]
        spec = tf.DeviceSpec.from_string(result.device)
        return "CPU" if spec.device_type == "CPU" else f"{spec.device_type}:{spec.device_index}"


def _freeze(signature: Any) -> Any:
    """A function from images to a list of one tensor, which no longer needs the loaded model."""
    return convert_variables_to_constants_v2(signature, lower_control_flow=False)


def _configure_runtime(threads: int) -> None:
    """Set threads, and let GPU memory grow as needed. Both must be said before TensorFlow runs."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        running = tf.config.threading.get_intra_op_parallelism_threads()
        if running != threads:
            logger.warning(
                "TensorFlow runs with %d threads already; %d cannot be set now", running, threads
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
def _say_once(device: str, reason: str, threads: int) -> None:
    missing = device == "CPU" and tf.test.is_built_with_cuda()
    level = logging.WARNING if missing else logging.INFO
    count = "1 thread" if threads == 1 else f"{threads} threads"
    logger.log(level, "TensorFlow computes on %s with %s: %s", device, count, reason)
