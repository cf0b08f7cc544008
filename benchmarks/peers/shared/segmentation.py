"""What every peer does with an image: the same decoding, the same graph, the same PNG, so that only
the server differs.

Runs in the peers' own environments; nothing of segserve is imported. Settings come as environment
variables: MODEL (the folder of the SavedModel), ENGINE (openvino for its int8 file, else
TensorFlow), THREADS (cores one inference uses; 0 for all), PORT, and what a server's own file
names.
"""

import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ClassMaps = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]  # (N, H, W, 3) to class ids (N, H, W)

Z_RLE = 3  # zlib's strategy for long runs: a tenth of Pillow's default time on a class map


class Segmentation:
    """A loaded model. Its methods may be called from several threads.

    The engine is imported with it: several of these servers read their file in processes that run
    no model.
    """

    def __init__(self, model: str | None = None, threads: int | None = None) -> None:
        folder = Path(model or os.environ["MODEL"])
        threads = number("THREADS") if threads is None else threads
        load = load_openvino if os.environ.get("ENGINE") == "openvino" else load_tensorflow
        self.class_maps = load(folder, threads)
        contract = json.loads((folder / "assets.extra" / "contract.json").read_text())
        colors = {item["id"]: bytes.fromhex(item["color"][1:]) for item in contract["classes"]}
        self._palette = b"".join(colors.get(index, b"\0\0\0") for index in range(256))
        self.class_maps(np.zeros((1, 360, 480, 3), np.uint8))

    def encode(self, class_map: NDArray[np.uint8]) -> bytes:
        """An indexed PNG of class ids (H, W)."""
        image = Image.fromarray(class_map)
        image.putpalette(self._palette)
        buffer = io.BytesIO()
        image.save(buffer, "png", compress_level=1, compress_type=Z_RLE)
        return buffer.getvalue()

    def segment(self, body: bytes) -> bytes:
        """An image file to a PNG."""
        return self.encode(self.class_maps(decode(body)[None])[0])


def load_tensorflow(folder: Path, threads: int) -> ClassMaps:
    """The frozen graph: the plain signature took up to twice as long."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    # One inference a core needs as many threads between operations as there are cores.
    tf.config.threading.set_inter_op_parallelism_threads(len(os.sched_getaffinity(0)))
    loaded = tf.saved_model.load(str(folder))
    function = convert_to_constants.convert_variables_to_constants_v2(
        loaded.signatures["serving_default"], lower_control_flow=False
    )

    def class_maps(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        result: NDArray[np.uint8] = function(tf.constant(images))[0].numpy()
        return result

    return class_maps


def load_openvino(folder: Path, threads: int) -> ClassMaps:
    """The int8 file without the output that is not asked for, in as many streams as inferences run
    at once."""
    import openvino

    model = openvino.Core().read_model(folder / "assets.extra" / "openvino" / "int8.xml")
    model = openvino.Model([model.output("class_map")], model.get_parameters())
    streams = number("STREAMS", 1)
    options = {
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": "f32",  # as ours: bf16 gives some other classes
        "ENABLE_CPU_PINNING": False,  # several processes would pin their threads to the same core
    }
    compiled = openvino.compile_model(model, "CPU", options)
    local = threading.local()

    def class_maps(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        result: NDArray[np.uint8] = local.request.infer([images])[0].copy()
        return result

    return class_maps


def decode(body: bytes) -> NDArray[np.uint8]:
    """An image file to pixels (H, W, 3)."""
    pixels: NDArray[Any] | None = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ValueError("not an image")
    return pixels.astype(np.uint8, copy=False)


def number(name: str, default: int = 0) -> int:
    """An environment variable as a number."""
    return int(os.environ.get(name, default))
